"""A game loop with a script that does not give way: caught, throttled, killed."""

import traceback

from tasklets import kill_all, schedule, scheduler, spawn

SLICE = 1000  # what one turn may take; in ticks, so that each run is the same
RARELY = 3  # whoever took more gets its next turn in every third frame only
STRIKES = 3  # who takes more that often is out

turns = {"torch": 0, "guard": 0}


def well_behaved(name):
    """Do a little in each frame."""
    while True:
        turns[name] += 1
        schedule()  # until the next frame


def script():
    """Do what somebody has written who did not think of the other entities."""
    try:
        find_way(0, goal=0.5)
    finally:
        print("script: cleans up")


def find_way(step, goal):
    """Walk to the goal, in whole steps."""
    while step != goal:
        step += 1


def report(victim, frame):
    """Tell who was stopped, and where."""
    print(f"frame {frame}: {victim.name} did not give way")
    for place in traceback.extract_stack(victim.frame):
        print(f"  in {place.name}: {place.line}")


entities = [spawn(well_behaved, name, name=name) for name in turns]
entities.append(spawn(script, name="script"))
strikes = dict.fromkeys(entities, 0)

for frame in range(12):
    for entity in strikes:
        if entity.paused and frame % RARELY == 0:
            entity.insert()  # it goes on where it was stopped
    # Each has one turn, then run() returns None. A tasklet that overruns its slice is
    # returned at once, paused in the middle of its code.
    victim = scheduler.run(rounds=1, slice_ticks=SLICE)
    if victim is not None:
        report(victim, frame)
        strikes[victim] += 1
        if strikes[victim] == STRIKES:
            victim.kill()  # raises TaskletExit there
            del strikes[victim]

print("turns:", turns)
kill_all(strikes)

# Output:
#   frame 0: script did not give way
#     in script: find_way(0, goal=0.5)
#     in find_way: ...
#   frame 3: script did not give way
#     in script: find_way(0, goal=0.5)
#     in find_way: ...
#   frame 6: script did not give way
#     in script: find_way(0, goal=0.5)
#     in find_way: ...
#   script: cleans up
#   turns: {'torch': 12, 'guard': 12}
