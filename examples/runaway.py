"""A game loop with a script that does not yield: caught, throttled, killed."""

import traceback

from tasklets import kill_all, schedule, scheduler, spawn

SLICE = 1000  # length of a turn; in ticks, so that each run is the same
RARELY = 3  # a stopped tasklet goes on only in frames divisible by this
STRIKES = 3  # a tasklet that was stopped this many times is killed

turns = {"torch": 0, "guard": 0}


def well_behaved(name):
    """Do a little in each frame."""
    while True:
        turns[name] += 1
        schedule()  # until the next frame


def script():
    """Run a badly written script, which never yields."""
    try:
        find_way(0, goal=0.5)
    finally:
        print("script: cleans up")


def find_way(step, goal):
    """Walk to the goal, in whole steps."""
    while step != goal:
        step += 1


def report(victim, frame):
    """Print which tasklet was stopped, and where."""
    print(f"frame {frame}: {victim.name} did not yield")
    for place in traceback.extract_stack(victim.frame):
        print(f"  in {place.name}: {place.line}")


entities = [spawn(well_behaved, name, name=name) for name in turns]
entities.append(spawn(script, name="script"))
strikes = dict.fromkeys(entities, 0)

for frame in range(12):
    for entity in strikes:
        if entity.paused and frame % RARELY == 0:
            entity.insert()  # it goes on where it was stopped
    # Each tasklet has one turn, then run() returns None. A tasklet that overruns its
    # slice is returned at once, paused in the middle of its code.
    victim = scheduler.run(rounds=1, slice_ticks=SLICE)
    if victim is not None:
        report(victim, frame)
        strikes[victim] += 1
        if strikes[victim] == STRIKES:
            victim.kill()  # raises TaskletExit where it was stopped
            del strikes[victim]

print("turns:", turns)
kill_all(strikes)

# Output:
#   frame 0: script did not yield
#     in script: find_way(0, goal=0.5)
#     in find_way: ...
#   frame 3: script did not yield
#     in script: find_way(0, goal=0.5)
#     in find_way: ...
#   frame 6: script did not yield
#     in script: find_way(0, goal=0.5)
#     in find_way: ...
#   script: cleans up
#   turns: {'torch': 12, 'guard': 12}
