"""The collector and the frames of other tasklets."""

import gc

from garbage import SEES_STACK, Thing, collect, pause

from tasklets import getcurrent, run, schedule, scheduler, tasklet


def test_a_collection_while_many_wait_does_no_harm(log):
    def work(n):
        things = [Thing() for _ in range(n % 5)]
        for _ in range(3):
            gc.collect(n % 3)
            schedule()
        log.append(len(things))

    for n in range(20):
        tasklet(work)(n)
    run()
    assert log == [n % 5 for n in range(20)]


def test_a_collection_sees_frames_in_every_state(log):
    """Frames in a call, an iteration, a comprehension, a with block, a generator."""

    class Waiter:
        def __iter__(self):
            pause()
            return iter(())

        def __enter__(self):
            pause()

        def __exit__(self, *args):
            pause()

        def __add__(self, other):
            pause()
            return 1

        def __del__(self):
            log.append("del")

    def calls(w):
        return max(1, 2, key=lambda x: pause() or 0)

    def iterates(w):
        return [x for x in w]  # noqa: C416 - the frame is meant

    def unpacks(w):
        (*_,) = w

    def enters(w):
        with w:
            pause()

    def adds(w):
        return (1, 2, w, [w + w, w + 1])

    def generates(w):
        def generator():
            yield 1
            pause()
            yield 2

        return list(generator())

    def formats(w):
        return f"{w} {pause()} {w + w}"

    def handles(w):
        try:
            raise KeyError
        except KeyError:
            pause()
        finally:
            pause()

    many = [calls, iterates, unpacks, enters, adds, generates, formats, handles]
    started = [tasklet(work)(Waiter()) for work in many]
    while any(t.alive for t in started):
        run()
        gc.collect()
        for t in started:
            if t.paused:
                t.insert()
    run()
    gc.collect()
    assert log == ["del"] * len(many)


def test_unreachable_frames_in_every_state_are_collected(log):
    def add(a, b):
        pause()

    def work(kind):
        me = getcurrent()
        thing = Thing()
        thing.me = me
        try:
            if kind == 0:
                [pause() for _ in (1, 2, thing)]
            elif kind == 1:
                add(thing, [thing, pause(), {thing: me}])
            elif kind == 2:
                sorted([thing, me], key=lambda x: pause() or 1)
            elif kind == 3:
                with contextmanager(thing):
                    pause()
            else:
                try:
                    raise KeyError(thing)
                except KeyError:
                    pause()
        finally:
            log.append(kind)

    class contextmanager:
        def __init__(self, thing):
            self.thing = thing

        def __enter__(self):
            return self

        def __exit__(self, *args):
            return None

    for kind in range(5):
        tasklet(work)(kind)
    run()
    collect()
    found = sorted(log)
    for t in scheduler.getuncollectables():
        t.kill()
    # Nobody can see the list that sorted() keeps, nor the exception being handled.
    assert found == ([0, 1, 3] if SEES_STACK else [])
    assert sorted(log) == list(range(5))
