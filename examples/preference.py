"""Which side goes on after a rendezvous: preference and schedule_all."""

import tasklets


def order(preference, schedule_all=0):
    """Return the steps of a sender and a receiver as they happen."""
    channel = tasklets.channel()
    channel.preference = preference
    channel.schedule_all = schedule_all
    steps = []

    def receiver():
        steps.append("waits")
        channel.receive()
        steps.append("has received")

    def sender():
        steps.append("sends")
        channel.send("a value")
        steps.append("has sent")

    def third():
        steps.append("third runs")

    for function in (receiver, sender, third):
        tasklets.tasklet(function)()
    tasklets.run()
    return ", ".join(steps)


# The receiver runs at once and the sender goes to the end of the queue, as in
# Stackless. This is the default.
print("-1:", order(-1))

# The sender goes on, and the receiver is put at the end of the queue. This suits a loop
# that feeds many receivers, because the loop is not interrupted.
print(" 1:", order(1))

# The side that arrives second, here the sender, goes on.
print(" 0:", order(0))

# Both go to the end of the queue: all other tasklets have a turn first.
print("schedule_all:", order(-1, schedule_all=1))

# Output:
#   -1: waits, sends, has received, third runs, has sent
#    1: waits, sends, has sent, third runs, has received
#    0: waits, sends, has sent, third runs, has received
#   schedule_all: waits, sends, third runs, has received, has sent
