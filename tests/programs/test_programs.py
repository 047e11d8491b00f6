"""Whole programs: what main waits in, and what happens during that."""

import pytest
from programs import EVENTS, PRELUDE, check_outcome, every_event, run_all, written

WAITS = {
    "channel": """
        waits = Spot()
    """,
    "sleep": """
        class waits:
            def wait(): sleep(0.5)
            def end(): pass
    """,
    "join": """
        class waits:
            spot = Spot()
            task = spawn(spot.wait)
            def wait(): waits.task.join()
            def end(): waits.spot.end()
    """,
    "worker": """
        class waits:
            def wait(): call_on_worker(time.sleep, 0.5)
            def end(): pass
    """,
    "run": """
        class waits:
            def wait(): scheduler.run(wait=True)
            def end(): pass
    """,
    "forever": """
        class waits:
            def wait(): scheduler.run_forever()
            def end(): scheduler.stop()
    """,
}


@pytest.fixture(scope="module")
def outcomes(request):
    """Run all of these programs."""

    def write(wait, event):
        return written(PRELUDE, WAITS[wait], EVENTS[event][0])

    return run_all(request, write)


@pytest.mark.parametrize("wait", WAITS)
@every_event(EVENTS)
def test_a_program_ends_as_it_should(request, outcomes, wait, event):
    check_outcome(request, outcomes, EVENTS)
