"""Killing a tasklet, and what it may still do."""

import tasklets

never = tasklets.channel()


def careful():
    """Clean up however it ends."""
    print("careful: takes a lock")
    try:
        never.receive()
    finally:
        print("careful: releases it")


def stubborn():
    """Catch the exception that should end it, and go on."""
    try:
        never.receive()
    except tasklets.TaskletExit:
        print("stubborn: not now")
    never.receive()


one, other = tasklets.tasklet(careful)(), tasklets.tasklet(stubborn)()
tasklets.run()

# kill() raises TaskletExit where the tasklet waits, and runs the tasklet at once.
one.kill()
print("is it alive?", one.alive, other.alive)
other.kill()
print("is it alive?", one.alive, other.alive)

# TaskletExit is no error: it ends a tasklet silently. throw() raises any other
# exception in a tasklet; run() raises it if the tasklet does not catch it.
other.throw(TimeoutError("enough"), pending=True)
try:
    tasklets.run()
except TimeoutError as error:
    print("run() raised:", error)

# Output:
#   careful: takes a lock
#   careful: releases it
#   is it alive? False True
#   stubborn: not now
#   is it alive? False True
#   run() raised: enough
