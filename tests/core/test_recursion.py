"""How deep a tasklet's code may go, and what is left of it afterwards."""

import sys
import threading
from textwrap import dedent

import pytest
from children import run_program

from tasklets import channel, run, schedule, tasklet

# The calls between the start of a tasklet and the code that counts.
FEW = 10


def depth():
    """Return how many calls fit on the stack from here."""
    try:
        return 1 + depth()
    except RecursionError:
        return 1


def at_depth(levels, work):
    """Call work that many frames deeper."""
    return at_depth(levels - 1, work) if levels else work()


@pytest.fixture
def limit():
    """Set a small recursion limit for the time of a test, and return it."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(600)
    yield 600
    sys.setrecursionlimit(before)


def assert_full(found, limit):
    """Check that a tasklet could use the whole limit, and not more."""
    assert limit - FEW <= found <= limit


def test_a_tasklet_may_go_as_deep_as_the_limit_says(log, limit):
    tasklet(lambda: log.append(depth()))()
    run()
    assert_full(log[0], limit)


def test_main_may_go_as_deep_after_its_tasklets_as_before(log):
    before = depth()
    for _ in range(20):
        tasklet(lambda: log.append(depth()))()
    run()
    assert depth() == before


@pytest.mark.parametrize("births", [1, 200])
def test_births_before_it_do_not_matter(log, limit, births):
    ch = channel()
    for _ in range(births):
        tasklet(ch.receive)()
    run()
    tasklet(lambda: log.append(depth()))()
    run()
    assert_full(log[0], limit)
    ch.send_sequence(range(births))


def test_where_it_was_born_does_not_matter(log, limit):
    def start():
        tasklet(lambda: log.append(depth()))()
        run()

    at_depth(300, start)
    assert_full(log[0], limit)


def test_tasklets_born_from_each_other_all_have_the_whole_stack(log, limit):
    def work(left):
        if left:
            tasklet(work, (left - 1,)).run()
        log.append(depth())

    tasklet(work)(50)
    run()
    assert len(log) == 51
    for found in log:
        assert_full(found, limit)


def test_tasklets_born_deep_in_each_other_all_have_the_whole_stack(log, limit):
    def work(left):
        if left:
            at_depth(300, tasklet(work, (left - 1,)).run)
        log.append(depth())

    tasklet(work)(20)
    run()
    assert len(log) == 21
    for found in log:
        assert_full(found, limit)


def test_a_stack_that_overflowed_serves_the_next_tasklet(log, limit):
    def overflow():
        overflow()

    for _ in range(10):
        tasklet(overflow)()
        with pytest.raises(RecursionError):
            run()
        tasklet(lambda: log.append(depth()))()
        run()
    for found in log:
        assert_full(found, limit)


def test_a_deep_tasklet_may_be_left_and_entered_again(log, limit):
    def work(name):
        for _ in range(3):
            schedule()
        log.append(name)

    for name in range(20):
        tasklet(at_depth)(limit // 2 + name, lambda name=name: work(name))
    run()
    assert log == list(range(20))


def test_each_tasklet_counts_its_own_depth(log, limit):
    def work():
        schedule()
        log.append(depth())

    tasklet(at_depth)(400, work)
    tasklet(work)()
    run()
    deep, shallow = log
    assert 350 <= shallow - deep <= 450
    assert_full(shallow, limit)


def test_a_deep_tasklet_can_be_killed(limit):
    ch = channel()
    t = tasklet(at_depth)(limit - 100, ch.receive)
    run()
    t.kill()
    assert (t.alive, ch.balance) == (False, 0)


def test_a_switch_at_the_limit_works(log, limit):
    def work():
        try:
            work()
        except RecursionError:
            schedule()
            log.append("back")
            raise

    tasklet(work)()
    tasklet(work)()
    for _ in range(2):
        with pytest.raises(RecursionError):
            run()
    assert len(log) > 100


def test_a_lower_limit_holds_for_tasklets_too(log):
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(300)
    try:
        tasklet(lambda: log.append(depth()))()
        run()
    finally:
        sys.setrecursionlimit(before)
    assert_full(log[0], 300)


def test_a_higher_limit_holds_for_tasklets_too(log):
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(5000)
    try:
        for _ in range(3):
            tasklet(lambda: log.append(depth()))()
        run()
    finally:
        sys.setrecursionlimit(before)
    for found in log:
        assert_full(found, 5000)


def test_a_limit_that_changes_during_a_wait_holds_for_the_waiting_tasklets(log):
    before = sys.getrecursionlimit()
    ch = channel()
    tasklet(lambda: (ch.receive(), log.append(depth())))()
    run()
    sys.setrecursionlimit(before + 500)
    try:
        ch.send(1)
        tasklet(lambda: log.append(depth()))()
        run()
    finally:
        sys.setrecursionlimit(before)
    old, new = log
    assert_full(new, before + 500)
    # Until 3.11 a waiting stack keeps the room that it left with.
    assert old <= new
    assert old >= before - FEW


def test_tasklets_of_a_thread_have_the_whole_stack(log, limit):
    def thread():
        for _ in range(3):
            tasklet(lambda: log.append(depth()))()
        run()

    worker = threading.Thread(target=thread)
    worker.start()
    worker.join()
    assert len(log) == 3
    for found in log:
        assert_full(found, limit)


def test_large_frames_are_given_back(log):
    names = [f"v{i}" for i in range(2000)]
    source = f"def big(down):\n  {' = '.join(names)} = 0\n  return down and big(0)"
    scope = {}
    exec(source, scope)
    for _ in range(50):
        tasklet(scope["big"])(1)
        tasklet(at_depth)(100, schedule)
    run()
    tasklet(log.append)(1)
    run()
    assert log == [1]


# Recursion through C code uses the C stack: in a process of its own.

PROGRAMS = {
    "sorting": "def down(): sorted([1], key=lambda x: down())",
    "repr": """
        class R:
            def __repr__(self):
                return repr([self])
        def down():
            repr(R())
        """,
    "getattr": """
        class G:
            def __getattr__(self, name):
                return getattr(self, name + "x")
        def down():
            G().x
        """,
    "nested lists": """
        nested = []
        for i in range(100000):
            nested = [nested]
        def down():
            repr(nested)
        """,
    "compile": """
        def down():
            raise_if_fine(compile, "-" * 100000 + "1", "", "eval")
        def raise_if_fine(function, *args):
            try:
                function(*args)
            except (MemoryError, SyntaxError, RecursionError):
                pass
            raise RecursionError
        """,
    "next": """
        def chain():
            it = iter(())
            for i in range(500):
                it = map(lambda x: x, it)
            return it
        def down():
            list(chain())
            sorted([1], key=lambda x: down())
        """,
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_recursion_through_c_ends_in_a_recursion_error(name):
    program = (
        "import faulthandler, tasklets\n"
        "faulthandler.dump_traceback_later(60, exit=True)\n"
        + dedent(PROGRAMS[name])
        + dedent("""
            def work():
                try:
                    down()
                except RecursionError:
                    seen.append(1)
            seen = []
            for i in range(3):
                tasklets.tasklet(work)()
                tasklets.tasklet(tasklets.schedule)()
            tasklets.run()
            print(seen)
            """)
    )
    assert run_program(program) == (0, "[1, 1, 1]\n", [])


def test_the_stack_of_a_small_thread_is_enough():
    status, output, errors = run_program("""
        import threading, tasklets
        threading.stack_size(256 * 1024)
        def down(levels):
            return down(levels - 1) if levels else tasklets.schedule()
        def thread():
            for i in range(100):
                tasklets.tasklet(down)(200)
            tasklets.run()
            print("ok")
        t = threading.Thread(target=thread)
        t.start()
        t.join()
        """)
    assert (status, output, errors) == (0, "ok\n", [])


@pytest.mark.slow
def test_a_chain_of_births_of_any_length_works():
    status, output, errors = run_program("""
        import tasklets
        def work(left):
            if left:
                tasklets.tasklet(work, (left - 1,)).run()
            count[0] += 1
        count = [0]
        tasklets.tasklet(work)(20000)
        tasklets.run()
        print(count[0])
        """)
    assert (status, output, errors) == (0, "20001\n", [])
