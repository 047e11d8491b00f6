"""Tasklets and threads at one table: three forks, one pen, and all begin together.

Half of the guests are tasklets, the others are threads; the same code serves both.
"""

import threading

import tasklets
from tasklets.locks import Barrier, Lock, Semaphore

GUESTS, FORKS, COURSES = 6, 3, 4

table, forks, pen = Barrier(GUESTS), Semaphore(FORKS), Lock()
eating, most, eaten = 0, 0, {}


def dine(name):
    """Eat all courses, each with a fork, and count them with the pen."""
    global eating, most
    table.wait()
    for _ in range(COURSES):
        with forks:
            with pen:
                eating += 1
                most = max(most, eating)
            tasklets.sleep(0.001)
            with pen:
                eating -= 1
                eaten[name] = eaten.get(name, 0) + 1


guests = [tasklets.spawn(dine, f"tasklet {i}") for i in range(GUESTS // 2)]
threads = [
    threading.Thread(target=dine, args=(f"thread {i}",)) for i in range(GUESTS // 2)
]
for thread in threads:
    thread.start()
for guest in guests:
    guest.result()
for thread in threads:
    thread.join()
for name in sorted(eaten):
    print(f"{name}: {eaten[name]} courses")
print("more guests ate at a time than there are forks:", most > FORKS)

# Output:
#   tasklet 0: 4 courses
#   tasklet 1: 4 courses
#   tasklet 2: 4 courses
#   thread 0: 4 courses
#   thread 1: 4 courses
#   thread 2: 4 courses
#   more guests ate at a time than there are forks: False
