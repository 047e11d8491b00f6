"""spawn() starts a function in a tasklet, and keeps its result or exception."""

import tasklets


def area(width, height):
    """Return the area of a rectangle, after a while."""
    tasklets.schedule()  # other tasklets may run now
    if width < 0 or height < 0:
        raise ValueError("a side cannot be negative")
    return width * height


# Positional and keyword arguments go to the function, except name.
small = tasklets.spawn(area, 2, 3, name="small")
large = tasklets.spawn(area, 40, height=50)
print("done?", small.done(), large.done())

# result() waits for the end of the tasklet, while all runnable tasklets run.
print("results:", small.result(), large.result())

# join() only waits, for any tasklet of any thread.
other = tasklets.tasklet(print)("an ordinary tasklet")
print("joined:", other.join())

# result() raises the exception of the tasklet in its caller.
wrong = tasklets.spawn(area, -1, 1)
try:
    wrong.result()
except ValueError as error:
    print("result() raised:", error)
print("exception() returns the same:", repr(wrong.exception()))

# An exception without a waiter is raised by run(), so that no error is lost.
lonely = tasklets.spawn(area, 1, -1)
try:
    tasklets.run()
except ValueError as error:
    print("run() raised:", error)

# A killed tasklet has no result.
slow = tasklets.spawn(tasklets.schedule_remove)
tasklets.run()
slow.kill()
try:
    slow.result()
except tasklets.CancelledError:
    print("cancelled:", slow.cancelled())

# Output:
#   done? False False
#   results: 6 2000
#   an ordinary tasklet
#   joined: True
#   result() raised: a side cannot be negative
#   exception() returns the same: ValueError('a side cannot be negative')
#   run() raised: a side cannot be negative
#   cancelled: True
