"""Ending a tasklet from outside, and what it may still do."""

import tasklets

never = tasklets.channel()


def careful():
    """Clean up in any case."""
    print("careful: takes a lock")
    try:
        never.receive()
    finally:
        print("careful: gives it back")


def stubborn():
    """Catch the exception that is to end it, and go on."""
    try:
        never.receive()
    except tasklets.TaskletExit:
        print("stubborn: not now")
    never.receive()


one, other = tasklets.tasklet(careful)(), tasklets.tasklet(stubborn)()
tasklets.run()

# kill() raises TaskletExit at the place where the tasklet waits, and runs it at once.
one.kill()
print("is it alive?", one.alive, other.alive)
other.kill()
print("is it alive?", one.alive, other.alive)

# TaskletExit is no error: a tasklet that it ends, ends silently. Any other exception
# can be thrown in as well, and one that nobody catches comes out of run().
other.throw(TimeoutError("enough"), pending=True)
try:
    tasklets.run()
except TimeoutError as error:
    print("run() raised:", error)

# Output:
#   careful: takes a lock
#   careful: gives it back
#   is it alive? False True
#   stubborn: not now
#   is it alive? False True
#   run() raised: enough
