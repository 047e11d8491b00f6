"""Computations spread over processes, while tasklets go on."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor

from tasklets import as_completed, sleep, spawn


def is_prime(number):
    """Compute: this needs a CPU of its own."""
    return number > 1 and all(number % n for n in range(2, int(number**0.5) + 1))


def beat(beats):
    """Show that tasklets run while the processes compute."""
    while True:
        beats.append("beat")
        sleep(0.001)


def main():
    """Submit some numbers, and take the answers as they arrive."""
    beats = []
    heart = spawn(beat, beats)
    # Spawned child processes know nothing of the tasklets here; each imports this
    # module, so main() is called only under __name__ == "__main__".
    method = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, mp_context=method) as pool:
        asked = {pool.submit(is_prime, number): number for number in range(90, 110)}
        # as_completed() accepts futures and tasklets alike.
        primes = [asked[f] for f in as_completed(asked) if f.result()]
    heart.kill()
    print("primes:", sorted(primes))
    print("tasklets ran at the same time:", bool(beats))


if __name__ == "__main__":
    main()

# Output:
#   primes: [97, 101, 103, 107, 109]
#   tasklets ran at the same time: True
