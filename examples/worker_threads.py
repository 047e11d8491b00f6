"""Compress data on worker threads, with a progress bar that keeps moving.

zlib computes without the GIL, so the workers use all CPUs. No lock is needed: all
shared data belongs to tasklets of one thread.
"""

import zlib

import tasklets
from tasklets.workers import WorkerPool, call_on_worker

BLOCKS, SIZE = 8, 200_000
data = b"".join(b"line %d of some text\n" % i for i in range(80_000))
blocks = [data[i * SIZE : (i + 1) * SIZE] for i in range(BLOCKS)]
packed = {}
frames = 0


def pack(number):
    """Compress one block on a worker: only this tasklet waits."""
    packed[number] = call_on_worker(zlib.compress, blocks[number], level=9)


def show_progress():
    """Show the bar whenever it has grown; check fifty times a second."""
    global frames
    shown = 0
    while shown < BLOCKS:
        while shown < len(packed):
            shown += 1
            print(f"[{'#' * shown:{BLOCKS}}] {shown} of {BLOCKS}")
        frames += 1
        tasklets.sleep(0.02)


tasklets.spawn(show_progress)
for number in range(BLOCKS):
    tasklets.spawn(pack, number)
tasklets.scheduler.run(wait=True)

whole = b"".join(zlib.decompress(packed[number]) for number in range(BLOCKS))
print("unchanged:", whole == b"".join(blocks), "- the bar was never stuck:", frames > 0)

# A WorkerPool is an executor. This pool has two threads and stores at most four calls;
# submit() waits while there are four.
with WorkerPool(2, max_queued=4) as pool:
    futures = [pool.submit(zlib.crc32, block) for block in blocks]
    sums = [future.result() for future in futures]
print("checksums:", sums == [zlib.crc32(block) for block in blocks])

try:
    call_on_worker(zlib.decompress, b"not compressed")
except zlib.error as error:
    print("raised here:", error)

# Output:
#   [#       ] 1 of 8
#   [##      ] 2 of 8
#   ...
#   [########] 8 of 8
#   unchanged: True - the bar was never stuck: True
#   checksums: True
#   raised here: Error -3 while decompressing data: incorrect header check
