"""What happens when all tasklets wait for each other, and how to read the error."""

import tasklets

left, right = tasklets.channel(name="left"), tasklets.channel(name="right")


def first():
    """Receive, then send."""
    left.receive()  # would be sent by second(), after it has received
    right.send("from first")


def second():
    """Receive, then send, the other way round."""
    right.receive()  # would be sent by first(), after it has received
    left.send("from second")


tasklets.spawn(first)
tasklets.spawn(second, name="the second one")

# run() returns, because no tasklet is runnable. That alone is no error: the main
# program may still send something.
tasklets.run()
print("waiting on left and right:", -left.balance, -right.balance)

# But now the main program wants to wait as well, on a channel without any sender. The
# error is raised in the tasklet that ran last. It names the operation that was refused,
# and what each of the others waits for: two different channels, neither of which has a
# waiting sender.
try:
    tasklets.channel(name="third").receive()
except tasklets.DeadlockError as error:
    print(error)

# The tasklet that got the error did not block and can repair the situation.
left.send("from main")
print("received:", left.receive())

# Output:
#   waiting on left and right: 1 1
#   Deadlock: the last runnable tasklet cannot be blocked.
#     refused: tasklet 'main' waits to receive from <tasklets.channel 'third' ...
#     <tasklets.tasklet 'first' blocked, waits to receive from <tasklets.channel 'l...
#     <tasklets.tasklet 'the second one' blocked, waits to receive from <tasklets...
#   received: from second
