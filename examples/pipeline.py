"""A pipeline of bounded queues: no stage knows what the next stage is made of.

Tasklets of the main thread read, a plain thread compresses, and tasklets of a third
thread sum up. However fast the first stage is, it is never far ahead of the last one.
"""

import threading
import zlib

import tasklets
from tasklets.queues import Queue, ShutDown

TEXTS, ROOM = 40, 3

texts, packed = Queue(maxsize=ROOM), Queue(maxsize=ROOM)
sizes = {}


def items_of(queue):
    """Yield the items of a queue until it is shut down and empty."""
    while True:
        try:
            yield queue.get()
        except ShutDown:
            return


def read(numbers):
    """Make texts."""
    for number in numbers:
        texts.put((number, f"tasklet {number} " * 100))


def compress():
    """Compress the texts, one after the other."""
    for number, text in items_of(texts):
        packed.put((number, len(text), len(zlib.compress(text.encode()))))
        texts.task_done()


def sum_up():
    """Record the sizes."""
    for number, before, after in items_of(packed):
        sizes[number] = before, after
        packed.task_done()


def sum_up_in_tasklets():
    """Run sum_up() in two tasklets of this thread."""
    both = [tasklets.spawn(sum_up) for _ in range(2)]
    for t in both:
        t.result()


threads = [threading.Thread(target=w) for w in (compress, sum_up_in_tasklets)]
for thread in threads:
    thread.start()
readers = [tasklets.spawn(read, range(i, TEXTS, 2)) for i in range(2)]
for reader in readers:
    reader.result()
texts.join()
packed.join()
for queue in (texts, packed):
    queue.shutdown()
for thread in threads:
    thread.join()
print("texts:", len(sizes))
print("none is missing:", sorted(sizes) == list(range(TEXTS)))
print("smaller than before:", all(after < before for before, after in sizes.values()))

# Output:
#   texts: 40
#   none is missing: True
#   smaller than before: True
