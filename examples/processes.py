"""Work that computes, spread over processes, while tasklets go on."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor

from tasklets import as_completed, sleep, spawn


def is_prime(number):
    """Compute: this is what wants a CPU of its own."""
    return number > 1 and all(number % n for n in range(2, int(number**0.5) + 1))


def beat(beats):
    """Show that tasklets run meanwhile."""
    while True:
        beats.append("beat")
        sleep(0.001)


def main():
    """Ask for some numbers, and take the answers as they come."""
    beats = []
    heart = spawn(beat, beats)
    # Children that are spawned know nothing of the tasklets here; each imports this
    # module, which is why main() is called only below.
    method = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, mp_context=method) as pool:
        asked = {pool.submit(is_prime, number): number for number in range(90, 110)}
        # Futures are waited for like tasklets, and with them.
        primes = [asked[f] for f in as_completed(asked) if f.result()]
    heart.kill()
    print("primes:", sorted(primes))
    print("tasklets ran meanwhile:", bool(beats))


if __name__ == "__main__":
    main()

# Output:
#   primes: [97, 101, 103, 107, 109]
#   tasklets ran meanwhile: True
