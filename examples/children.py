"""Many child processes at a time, with a limit, a deadline and a conversation."""

import signal
import subprocess
import sys

from tasklets import TaskGroup, process, sleep, spawn

beats = 0


def beat():
    """Show that tasklets run while children do."""
    global beats
    while True:
        beats += 1
        sleep(0.001)


def checksum(text):
    """Let another program compute."""
    done = process.run(["cksum"], input=text, capture_output=True, check=True)
    return int(done.stdout.split()[0])


heart = spawn(beat)

with TaskGroup(limit=4) as group:
    sums = [group.spawn(checksum, b"text %d" % number) for number in range(8)]
print("sums:", len({each.result() for each in sums}))

# A child that takes too long is killed. With a group of its own, so are its children.
try:
    process.run(["sh", "-c", "sleep 1000; :"], timeout=0.1, process_group=0)
except subprocess.TimeoutExpired as error:
    print("too slow:", error.cmd[0])

# Questions and answers, a line each.
ADDER = "while True: print(sum(map(int, input().split())), flush=True)"
with process.Popen(
    [sys.executable, "-c", ADDER],
    stdin=process.PIPE, stdout=process.PIPE, text=True, bufsize=1,
    start_new_session=True,
) as child:  # fmt: skip
    for question in ("1 2", "3 4 5"):
        child.stdin.write(question + "\n")
        print(question, "->", child.stdout.readline().strip())
    child.kill_group(signal.SIGTERM)
    print("ended by SIGTERM:", child.wait() == -signal.SIGTERM)

heart.kill()
print("tasklets ran at the same time:", beats > 0)

# Output:
#   sums: 8
#   too slow: sh
#   1 2 -> 3
#   3 4 5 -> 12
#   ended by SIGTERM: True
#   tasklets ran at the same time: True
