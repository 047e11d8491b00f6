"""spawn() starts a function in a tasklet, and keeps what becomes of it."""

import tasklets


def area(width, height):
    """Return the area of a rectangle, after a while."""
    tasklets.schedule()  # the others may run now
    if width < 0 or height < 0:
        raise ValueError("a side cannot be negative")
    return width * height


# Positional and keyword arguments go to the function, except name.
small = tasklets.spawn(area, 2, 3, name="small")
large = tasklets.spawn(area, 40, height=50)
print("done?", small.done(), large.done())

# result() waits for the end: meanwhile all runnable tasklets run.
print("results:", small.result(), large.result())

# join() only waits, for tasklets of any origin and on any thread.
other = tasklets.tasklet(print)("an ordinary tasklet")
print("joined:", other.join())

# An exception is raised by result(), in whoever asks for it.
wrong = tasklets.spawn(area, -1, 1)
try:
    wrong.result()
except ValueError as error:
    print("result() raised:", error)
print("exception() returns the same:", repr(wrong.exception()))

# If nobody waits when it happens, it comes out of run(), so that no error is lost.
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
