"""Who goes on when sender and receiver have met: preference and schedule_all."""

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
        steps.append("somebody else")

    for function in (receiver, sender, third):
        tasklets.tasklet(function)()
    tasklets.run()
    return ", ".join(steps)


# The receiver runs at once and the sender goes to the end of the queue: what Stackless
# does, and what you get without saying anything.
print("-1:", order(-1))

# The sender goes on, and the receiver takes its turn at the end of the queue. A loop
# that feeds many receivers wants this: it is not interrupted.
print(" 1:", order(1))

# Whoever comes second, here the sender, goes on.
print(" 0:", order(0))

# Both go to the end of the queue: everybody else has a turn first.
print("schedule_all:", order(-1, schedule_all=1))

# Output:
#   -1: waits, sends, has received, somebody else, has sent
#    1: waits, sends, has sent, somebody else, has received
#    0: waits, sends, has sent, somebody else, has received
#   schedule_all: waits, sends, somebody else, has received, has sent
