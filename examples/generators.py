"""Generators and coroutines, made from tasklets and channels.

They may yield at any depth: through recursion, callbacks and library code.
"""

import tasklets


def generator(function):
    """Turn function(give, ...) into an iterator over the values that it gives."""

    def start(*args):
        values = tasklets.channel()

        def body():
            try:
                function(values.send, *args)
            finally:
                values.close(wake=True)  # ends the loop

        tasklets.tasklet(body)()
        return values  # a channel is an iterator

    return start


@generator
def leaves(give, tree):
    """Give the leaves of a tree of lists."""

    def visit(node):
        if isinstance(node, list):
            for child in node:
                visit(child)  # no "yield from" at every level
        else:
            give(node)

    visit(tree)


print("leaves:", list(leaves([1, [2, [3, [4]], 5]])))


class Coroutine:
    """A function that is resumed with a value, and answers with another."""

    def __init__(self, function):
        self.inside, self.outside = tasklets.channel(), tasklets.channel()
        tasklets.tasklet(function)(self.pause)
        self.outside.receive()  # runs it to its first pause

    def pause(self, value):
        """Inside: give value to the caller of resume(), and return its next value."""
        self.outside.send(value)
        return self.inside.receive()

    def resume(self, value):
        """Outside: resume it with value, and return its answer."""
        self.inside.send(value)
        return self.outside.receive()


def average(pause):
    """Answer each number with the average of all so far."""
    total = count = 0
    while True:
        total += pause(total / count if count else None)
        count += 1


mean = Coroutine(average)
print("averages:", [mean.resume(number) for number in (10, 20, 60)])

# Output:
#   leaves: [1, 2, 3, 4, 5]
#   averages: [10.0, 15.0, 30.0]
