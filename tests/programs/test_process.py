"""How whole programs end: exit status and output, to the letter."""

import sys
from textwrap import dedent

import pytest
from children import run_program
from program_ends import PRELUDE, TRACEBACK, check

NEVER_RAN = "RuntimeWarning: 1 tasklet never ran before the program ended"

# Uncaught errors.


def test_an_uncaught_error_of_a_tasklet_ends_the_program():
    check(
        """
        def work():
            raise KeyError("uncaught")
        tasklet(work)()
        run()
        say("not reached")
        """,
        1, "", [TRACEBACK, "KeyError: 'uncaught'", "in tasklet 'work'"],
    )  # fmt: skip


def test_an_uncaught_error_lets_the_finally_blocks_of_other_tasklets_run():
    check(
        """
        def work():
            raise KeyError("uncaught")
        tasklet(waiting)("blocked")
        tasklet(work)()
        run()
        """,
        1, "blocked finally\n",
        [TRACEBACK, "KeyError: 'uncaught'", "in tasklet 'work'"],
    )  # fmt: skip


def test_an_uncaught_error_of_main_ends_the_program():
    check(
        """
        tasklet(waiting)("paused", pause)
        run()
        raise KeyError("main")
        """,
        1, "paused finally\n", [TRACEBACK, "KeyError: 'main'"],
    )  # fmt: skip


def test_an_uncaught_deadlock_ends_the_program():
    check(
        """
        tasklet(waiting)("blocked")
        try:
            channel().receive()
        except tasklets.DeadlockError as error:
            raise tasklets.DeadlockError(str(error).splitlines()[0]) from None
        """,
        1, "blocked finally\n",
        [TRACEBACK, "tasklets.DeadlockError: "
         "Deadlock: the last runnable tasklet cannot be blocked."],
    )  # fmt: skip


def test_an_uncaught_error_in_a_thread_ends_the_thread():
    check(
        """
        def work():
            tasklet(lambda: 1 / 0)()
            run()
        thread = threading.Thread(target=work, name="worker")
        thread.start()
        thread.join()
        say("main goes on")
        """,
        0, "main goes on\n",
        ["Exception in thread worker:", TRACEBACK,
         "ZeroDivisionError: division by zero",
         "in tasklet 'work.<locals>.<lambda>'"],
    )  # fmt: skip


# sys.exit.


@pytest.mark.parametrize("make", ["tasklet(sys.exit)(3)", "spawn(sys.exit, 3)"])
@pytest.mark.parametrize(
    "wait", ["run()", "schedule()", "channel().receive()", "spawn(pause).join()"]
)
def test_sys_exit_in_a_tasklet_ends_the_program_with_its_status(make, wait):
    # The tasklet to be joined is behind the tasklet that ends the program.
    late = [f"<string>:18: {NEVER_RAN}"] if "join" in wait else []
    check(f"{make}\n{wait}\nsay('not reached')", 3, "", late)


@pytest.mark.parametrize(
    ("code", "status", "errors"),
    [("", 0, []), ("None", 0, []), ("True", 1, []), ("'message'", 1, ["message"])],
)
def test_sys_exit_takes_what_it_takes_elsewhere(code, status, errors):
    check(f"tasklet(lambda: sys.exit({code}))()\nrun()", status, "", errors)


def test_sys_exit_in_a_tasklet_runs_the_finally_blocks_of_all():
    check(
        """
        tasklet(waiting)("blocked")
        kept = tasklet(waiting)("paused", pause)
        tasklet(waiting)("exiting", lambda: sys.exit(3))
        try:
            run()
        finally:
            say("main finally")
        """,
        3,
        """
        exiting finally
        main finally
        blocked finally
        paused finally
        """,
    )


def test_sys_exit_in_a_tasklet_can_be_caught_by_main():
    check(
        """
        tasklet(sys.exit)(3)
        try:
            run()
        except SystemExit as error:
            say("caught", error.code)
        """,
        0, "caught 3\n",
    )  # fmt: skip


def test_sys_exit_in_main_runs_the_finally_blocks():
    check("tasklet(waiting)('blocked')\nrun()\nsys.exit(4)", 4, "blocked finally\n")


def test_sys_exit_in_a_tasklet_of_a_thread_is_silent():
    check(
        """
        def work():
            tasklet(sys.exit)(3)
            run()
            say("thread goes on")
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        """,
        0, "thread goes on\n",
    )  # fmt: skip


def test_os_exit_in_a_tasklet_ends_the_process_at_once():
    check(
        """
        tasklet(waiting)("blocked")
        tasklet(os._exit)(5)
        run()
        """,
        5, "",
    )  # fmt: skip


# Tasklets that are left at the end.


def test_the_finally_blocks_of_blocked_and_paused_tasklets_run_at_exit():
    check(
        """
        ch = channel()
        tasklet(waiting)("receiving", ch.receive)
        tasklet(waiting)("sending", lambda: channel().send(1))
        tasklet(waiting)("iterating", lambda: list(channel()))
        t = tasklet(pause)()
        tasklet(waiting)("joining", t.join)
        kept = tasklet(waiting)("paused", pause)
        run()
        say("end of main")
        """,
        0,
        """
        end of main
        receiving finally
        sending finally
        iterating finally
        joining finally
        paused finally
        """,
    )


def test_the_finally_blocks_of_runnable_tasklets_run_at_exit():
    check(
        """
        tasklet(waiting)("runnable", schedule)
        schedule()
        say("end of main")
        """,
        0, "end of main\nrunnable finally\n",
    )  # fmt: skip


def test_tasklets_that_have_not_started_do_not_start_at_exit():
    check(
        """
        tasklet(say)("never")
        t = tasklet(say, ("never",))
        say("end of main")
        """,
        0, "end of main\n",
        [f"<string>:6: {NEVER_RAN}"],  # where say() is
    )  # fmt: skip


def test_a_tasklet_is_told_once_to_end_at_exit():
    check(
        """
        def stubborn():
            while True:
                try:
                    channel().receive()
                except tasklets.TaskletExit:
                    say("refused")
        tasklet(stubborn)()
        run()
        """,
        0, "refused\n",
    )  # fmt: skip


def test_a_tasklet_that_spins_forever_does_not_hold_the_exit():
    check(
        """
        def spinning():
            while True:
                try:
                    schedule()
                except tasklets.TaskletExit:
                    say("refused")
        tasklet(spinning)()
        schedule()
        """,
        0, "refused\n",
    )  # fmt: skip


def test_a_tasklet_may_switch_and_finish_at_exit():
    check(
        """
        def work(name):
            try:
                pause()
            finally:
                for n in range(2):
                    schedule()
                    say(name, n)
        kept = [tasklet(work)(name) for name in "ab"]
        run()
        """,
        0, "a 0\nb 0\na 1\nb 1\n",
    )  # fmt: skip


def test_an_error_in_a_finally_block_at_exit_is_reported():
    status, output, errors = run_program(
        PRELUDE
        + dedent("""
        def work():
            try:
                pause()
            finally:
                raise KeyError("late")
        kept = tasklet(work)()
        run()
        """)
    )
    assert (status, output) == (0, "")
    assert "KeyError: 'late'" in errors  # from 3.15 with notes below


def test_a_generator_in_a_tasklet_is_closed_at_exit():
    check(
        """
        def generator():
            try:
                yield 1
            finally:
                say("generator finally")
        def work():
            g = generator()
            next(g)
            pause()
        kept = tasklet(work)()
        run()
        """,
        0, "generator finally\n",
    )  # fmt: skip


def test_with_blocks_are_left_at_exit():
    check(
        """
        class Block:
            def __enter__(self):
                say("enter")
            def __exit__(self, *error):
                say("exit", error[0].__name__)
        def work():
            with Block():
                pause()
        kept = tasklet(work)()
        run()
        """,
        0, "enter\nexit TaskletExit\n",
    )  # fmt: skip


def test_ten_thousand_tasklets_that_wait_do_not_slow_the_exit():
    check(
        """
        ch = channel()
        for n in range(10000):
            tasklet(ch.receive)()
        run()
        say(ch.balance)
        """,
        0, "-10000\n",
    )  # fmt: skip


# atexit.


def test_tasklets_may_be_used_in_atexit_functions():
    check(
        """
        def at_exit():
            ch = channel()
            tasklet(ch.send)("value")
            say(ch.receive())
            run()
        atexit.register(at_exit)
        tasklet(waiting)("blocked")
        run()
        """,
        0, "value\nblocked finally\n",
    )  # fmt: skip


def test_atexit_functions_registered_before_the_import_may_use_tasklets():
    status, output, errors = run_program("""
        import atexit
        def at_exit():
            try:
                ch = tasklets.channel()
                tasklets.tasklet(ch.send)("value")
                print(ch.receive())
                tasklets.run()
                t = tasklets.tasklet(print)("tasklet")
                tasklets.run()
            except RuntimeError:
                print("refused")
        atexit.register(at_exit)
        import tasklets
        tasklets.run()
        """)
    assert (status, errors) == (0, [])
    assert output in ("value\ntasklet\n", "refused\n")


def test_atexit_functions_may_be_registered_in_tasklets():
    check(
        """
        def work():
            atexit.register(lambda: (tasklet(say)("in a tasklet"), run()))
            atexit.register(say, "plainly")
        tasklet(work)()
        run()
        """,
        0, "plainly\nin a tasklet\n",
    )  # fmt: skip


def test_an_object_that_dies_last_may_use_tasklets():
    status, output, errors = run_program(
        PRELUDE
        + dedent("""
        class Last:
            def __del__(
                self, tasklet=tasklet, run=run, channel=channel, write=os.write
            ):
                try:
                    t = tasklet(write)(1, b"tasklet\\n")
                    run()
                    channel().try_receive()
                except RuntimeError:
                    write(1, b"refused\\n")
                write(1, b"del\\n")
        tasklets.keep = Last()
        sys.keep = Last()
        run()
        """)
    )
    assert (status, errors) == (0, [])
    assert output.count("del\n") == 2
    assert output.count("tasklet\n") + output.count("refused\n") == 2


# Other ways to begin and end.


def test_a_program_may_import_the_package_in_a_thread_first():
    status, output, errors = run_program("""
        import threading
        def work():
            import tasklets
            tasklets.tasklet(print)("thread")
            tasklets.run()
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        import tasklets
        tasklets.tasklet(print)("main")
        tasklets.run()
        """)
    assert (status, output, errors) == (0, "thread\nmain\n", [])


def test_a_program_that_only_imports_ends_quietly():
    assert run_program("import tasklets") == (0, "", [])


def test_the_core_can_be_dropped_from_sys_modules_and_imported_again():
    status, output, errors = run_program("""
        import sys
        import tasklets
        kept = tasklets.tasklet(tasklets.schedule_remove)(None)
        tasklets.run()
        for name in [n for n in sys.modules if n.split(".")[0] == "tasklets"]:
            del sys.modules[name]
        del tasklets
        try:
            import tasklets
        except ImportError:
            print("refused")
        else:
            tasklets.tasklet(print)("again")
            tasklets.run()
        """)
    assert (status, errors) == (0, [])
    assert output in ("again\n", "refused\n")


def test_a_sub_interpreter_cannot_import_the_core():
    name = "_xxsubinterpreters" if sys.version_info < (3, 13) else "_interpreters"
    status, output, errors = run_program(f"""
        import tasklets
        interpreters = __import__("{name}")
        ident = interpreters.create()
        try:
            error = interpreters.run_string(ident, "import tasklets")
        except Exception as caught:
            error = caught
        print("ImportError" in str(error) or "ImportError" in repr(error)
              or "main interpreter" in str(error))
        interpreters.destroy(ident)
        tasklets.tasklet(print)("main works")
        tasklets.run()
        """)
    assert (status, output, errors) == (0, "True\nmain works\n", [])


def test_a_program_may_end_inside_a_nested_greenlet():
    check(
        """
        import greenlet
        def inner():
            tasklet(waiting)("blocked")
            run()
            sys.exit(6)
        greenlet.greenlet(inner).switch()
        """,
        6, "blocked finally\n",
    )  # fmt: skip


def test_a_program_may_end_inside_a_switch_trap():
    check(
        """
        kept = tasklet(waiting)("blocked")
        run()
        tasklets.switch_trap(1)
        """,
        0, "blocked finally\n",
    )  # fmt: skip


def test_a_program_may_end_with_callbacks_set():
    check(
        """
        def callback(*args):
            pass
        tasklets.set_schedule_callback(callback)
        tasklets.set_channel_callback(callback)
        tasklets.set_error_handler(callback)
        kept = tasklet(waiting)("blocked")
        run()
        """,
        0, "blocked finally\n",
    )  # fmt: skip


def test_exec_in_a_tasklet_replaces_the_program():
    check(
        """
        kept = tasklet(waiting)("blocked")
        tasklet(os.execv)(sys.executable, [sys.executable, "-c", "print('new')"])
        run()
        """,
        0, "new\n",
    )  # fmt: skip
