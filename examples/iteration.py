"""A loop over a channel, and how it ends."""

import tasklets

lines = tasklets.channel()


def reader():
    """Print each line that arrives."""
    for line in lines:  # receives, again and again
        print("read", line)
    print("no more lines")


tasklets.spawn(reader)
lines.send("one")
lines.send_sequence(["two", "three"])

# close() only forbids new waits. The reader, which is already waiting, would go on
# waiting; close(wake=True) ends its loop.
lines.close(wake=True)
tasklets.run()

try:
    lines.send("four")
except tasklets.ChannelClosed as error:
    print("cannot send:", error)

# Values that a QueueChannel stored before it was closed can still be received.
stored = tasklets.QueueChannel()
for number in range(3):
    stored.send(number)  # does not wait for a receiver
stored.close()
print("stored:", len(stored), "received:", list(stored))

# Output:
#   read one
#   read two
#   read three
#   no more lines
#   cannot send: Send/receive operation on a closed channel
#   stored: 3 received: [0, 1, 2]
