"""Compress data on worker threads, with a progress bar that goes on meanwhile.

zlib computes without the GIL, so the workers use all CPUs. Nobody needs a lock: what is
shared belongs to tasklets of one thread.
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
    """Have one block compressed: this tasklet waits, the others do not."""
    packed[number] = call_on_worker(zlib.compress, blocks[number], level=9)


def show_progress():
    """Show a bar whenever it has grown, and look again fifty times a second."""
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

# A pool of one's own is an executor: this one has two threads, and never stores more
# than four calls; submit() waits while there are as many.
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
