"""A thread that executes what a test sends it, and paused tasklets."""

import contextlib
import threading

from threads import SECONDS

import tasklets
from tasklets import channel, run, tasklet


class Worker(threading.Thread):
    """A thread that does what it is told, one thing after the other."""

    def __init__(self):
        super().__init__()
        self.orders = channel()
        self.answers = channel()
        self.start()

    def run(self):
        for order in self.orders:
            try:
                answer = order()
            except BaseException as error:
                answer = tasklets.bomb(type(error), error)
            self.answers.send(answer)
            del order, answer
        self.orders = self.answers = None

    def do(self, order):
        """Return what order returns there."""
        self.orders.send(order)
        del order
        return self.answers.receive()

    def begin(self, order):
        """Let it begin; end() returns what it returned."""
        self.orders.send(order)

    def end(self):
        return self.answers.receive()

    def close(self):
        orders = self.orders
        orders.close(wake=True)
        self.join(SECONDS)
        assert not self.is_alive()


@contextlib.contextmanager
def worker():
    thread = Worker()
    try:
        yield thread
    finally:
        thread.close()


def pause():
    tasklets.schedule_remove(None)


def paused(work=pause):
    """Return a started and paused tasklet of this thread."""
    t = tasklet(work)()
    run()
    return t
