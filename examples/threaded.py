"""An ordinary threaded program; it knows nothing of tasklets.

Jobs go through a queue to a pool of threads, and results through another to a
collector. A separate thread handles the log records.
"""

import logging
import logging.handlers
import queue
import sys
import threading
import zlib
from concurrent.futures import ThreadPoolExecutor

WORKERS = 4

jobs, results, records = queue.Queue(10), queue.Queue(10), queue.Queue()
log = logging.Logger("jobs")
lock = threading.Lock()
count = 0


class Lines(logging.Handler):
    """Counts log records."""

    lines = 0

    def emit(self, record):
        """Count a record."""
        record.getMessage()
        self.lines += 1


def work():
    """Do jobs until there are no more."""
    global count
    while (job := jobs.get()) is not None:
        with lock:
            count += 1
        log.info("job %d", job)
        results.put(zlib.crc32(b"%d" % job))


def collect():
    """Return the sum of the results."""
    total = 0
    while (result := results.get()) is not None:
        total += result
    return total


def main(number):
    """Run the given number of jobs."""
    handler = Lines()
    log.addHandler(logging.handlers.QueueHandler(records))
    listener = logging.handlers.QueueListener(records, handler)
    listener.start()
    with ThreadPoolExecutor(WORKERS + 1) as pool:
        total = pool.submit(collect)
        working = [pool.submit(work) for _ in range(WORKERS)]
        for job in [*range(number), *[None] * WORKERS]:
            jobs.put(job)
        for future in working:
            future.result()
        results.put(None)
        print(f"{count} jobs, sum {total.result()}")
    listener.stop()
    print(f"{handler.lines} lines logged")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)

# Output:
#   1000 jobs, sum 2044476573902
#   1000 lines logged
