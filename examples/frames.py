"""A frame loop that stays in control: tasklets sleep, wait and time out in between.

This is how a program with a window, of pygame or Qt for example, hosts tasklets. Here
the window is a list of lines.
"""

import socket
import time

from tasklets import scheduler, sleep, spawn, timeout

FRAME = 0.04  # seconds

window, events = [], {"quit": False}
here, there = socket.socketpair()
for each in (here, there):
    each.setblocking(False)


def blink():
    """Change colour every three frames."""
    for colour in ("red", "green", "blue"):
        window.append(f"lamp: {colour}")
        sleep(3 * FRAME)


def answer():
    """Wait for data from the network."""
    scheduler.wait_readable(there)
    window.append(f"network: {there.recv(100).decode()}")


def player():
    """Wait for input, at most twelve frames."""
    try:
        with timeout(12 * FRAME):
            scheduler.wait_readable(here)
    except TimeoutError:
        window.append("player: too slow")


def quit_soon():
    """End the program from a tasklet."""
    sleep(20 * FRAME)
    events["quit"] = True


for work in (blink, answer, player, quit_soon):
    spawn(work)
scheduler.call_later(4 * FRAME, here.send, b"hello")

frames = 0
while not events["quit"]:
    end = time.monotonic() + FRAME
    # All runnable or due tasklets have one turn. The call does not wait: the rest of
    # the frame belongs to the host.
    scheduler.run(rounds=1)
    due = scheduler.next_deadline()
    wake = end if due is None else min(end, max(due, time.monotonic()))
    time.sleep(max(wake - time.monotonic(), 0))  # a real host draws, and waits for it
    frames += 1
    if frames == 5:
        # The window was dragged: the tasklets must not notice the pause.
        time.sleep(4 * FRAME)
        scheduler.shift_clock(4 * FRAME)

print("\n".join(window))
print("frames:", "some" if frames > 5 else frames)
print("left:", scheduler.pending())

# Output:
#   lamp: red
#   lamp: green
#   network: hello
#   lamp: blue
#   player: too slow
#   frames: some
#   left: 0
