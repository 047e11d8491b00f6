"""How whole programs end that have threads."""

from textwrap import dedent

import pytest
from children import run_program
from program_ends import PRELUDE, check


def test_tasklets_blocked_in_three_threads_end_with_the_program():
    status, output, errors = run_program(
        PRELUDE
        + dedent("""
        ready = threading.Barrier(4)
        def work(n):
            tasklet(waiting)(f"thread {n}")
            kept = tasklet(waiting)(f"thread {n}", pause)
            run()
            ready.wait()
        for n in range(3):
            threading.Thread(target=work, args=(n,)).start()
        tasklet(waiting)("main")
        run()
        ready.wait()
        """)
    )
    expected = [f"thread {n} finally" for n in range(3)] * 2 + ["main finally"]
    assert (status, errors) == (0, [])
    assert sorted(output.splitlines()) == sorted(expected)


def test_a_thread_whose_main_blocks_forever_gets_a_deadlock_at_exit():
    check(
        """
        def work():
            tasklet(waiting)("thread")
            run()
            try:
                channel().receive()
            except tasklets.DeadlockError:
                say("deadlock")
        threading.Thread(target=work).start()
        say("end of main")
        """,
        0, "end of main\ndeadlock\nthread finally\n",
    )  # fmt: skip


def test_two_threads_that_wait_for_each_other_get_a_deadlock_at_exit():
    status, output, errors = run_program(
        PRELUDE
        + dedent("""
        a, b = channel(), channel()
        def work(mine, other):
            try:
                mine.receive()
            except tasklets.DeadlockError:
                say("deadlock")
            other.try_send(1)
        threading.Thread(target=work, args=(a, b)).start()
        threading.Thread(target=work, args=(b, a)).start()
        """)
    )
    assert (status, errors) == (0, [])
    assert output in ("deadlock\n", "deadlock\ndeadlock\n")


def test_a_daemon_thread_with_blocked_tasklets_does_not_hold_the_exit():
    check(
        """
        ready = threading.Event()
        def work():
            tasklet(waiting)("daemon")
            run()
            ready.set()
            channel().receive()
        threading.Thread(target=work, daemon=True).start()
        ready.wait()
        kept = tasklet(waiting)("main")
        run()
        atexit.register(time.sleep, 0.2)  # time to notice that main has ended
        say("end of main")
        """,
        0, "end of main\nmain finally\n",
    )  # fmt: skip


def test_a_daemon_thread_that_sleeps_does_not_hold_the_exit():
    check(
        """
        ready = threading.Event()
        def work():
            tasklet(pause)()
            run()
            ready.set()
            time.sleep(1000)
        threading.Thread(target=work, daemon=True).start()
        ready.wait()
        say("end of main")
        """,
        0, "end of main\n",
    )  # fmt: skip


def test_a_daemon_thread_that_runs_tasklets_does_not_hold_the_exit():
    check(
        """
        ready = threading.Event()
        def spin():
            while True:
                schedule()
                ready.set()
        def work():
            ch = channel()
            tasklet(spin)()
            tasklet(spin)()
            tasklet(lambda: [ch.send(1) for _ in iter(int, 1)])()
            tasklet(lambda: [ch.receive() for _ in iter(int, 1)])()
            run()
        for _ in range(3):
            threading.Thread(target=work, daemon=True).start()
        ready.wait()
        kept = tasklet(waiting)("main")
        run()
        say("end of main")
        """,
        0, "end of main\nmain finally\n",
    )  # fmt: skip


def test_daemon_threads_that_talk_to_main_do_not_hold_the_exit():
    check(
        """
        ch = channel()
        def work():
            while True:
                ch.send(1)
        for _ in range(3):
            threading.Thread(target=work, daemon=True).start()
        for _ in range(100):
            ch.receive()
        say("end of main")
        """,
        0, "end of main\n",
    )  # fmt: skip


def test_a_daemon_thread_that_waits_for_main_does_not_hold_the_exit():
    check(
        """
        ch = channel()
        def work():
            tasklet(waiting)("daemon", ch.receive)
            tasklets.scheduler.run(threadblock=True)
        threading.Thread(target=work, daemon=True).start()
        while not ch.balance:
            time.sleep(0.001)
        say("end of main")
        """,
        0, "end of main\n",
    )  # fmt: skip


@pytest.mark.parametrize("daemon", [False, True])
def test_a_lock_of_a_tasklet_of_main_does_not_hold_a_thread_at_exit(daemon):
    told = "owner finally\nback\nend\n" if not daemon else "end\nowner finally\n"
    check(
        f"""
        condition = tasklets.locks.Condition()
        begun = threading.Event()
        def work():
            with condition:
                begun.set()
                condition.wait()
            if not {daemon}:
                say("back")
        def own():
            with condition:
                condition.notify()
                waiting("owner", pause)
        if not {daemon}:
            atexit.register(say, "end")
        threading.Thread(target=work, daemon={daemon}).start()
        begun.wait()
        owner = spawn(own)
        while not owner.paused:
            schedule()
        if {daemon}:
            atexit.register(say, "end")
        """,
        0, told,
    )  # fmt: skip


def test_tasklets_of_main_live_until_the_end_where_no_thread_is_waited_for():
    check(
        """
        def last():
            t.insert()
            run()
            say("last")
        t = spawn(lambda: (pause(), say("went on")))
        schedule()
        atexit.register(last)
        threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()
        """,
        0, "went on\nlast\n",
    )  # fmt: skip


def test_a_foreign_tasklet_held_at_exit_does_no_harm():
    check(
        """
        ready = threading.Event()
        box = []
        def work():
            box.append(tasklet(pause)())
            run()
            ready.set()
            time.sleep(1000)
        threading.Thread(target=work, daemon=True).start()
        ready.wait()
        box[0].kill()
        say(box[0].alive)
        """,
        0, "True\n",
    )  # fmt: skip
