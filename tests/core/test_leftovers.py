"""Tasklets that are lost before their end are warned of."""

import gc
import os
import re

import pytest
from children import forks_beside_threads, run_program

import tasklets
from tasklets import run, scheduler, spawn

DEV = "import warnings; warnings.simplefilter('always', ResourceWarning)\n"
LET_THEM_RUN = (
    "  a tasklet runs only while its thread is in run(), join() or another wait: "
    "call scheduler.run(wait=True), or use a TaskGroup"
)
LET_THEM = (
    "  let them end: scheduler.run(wait=True), join() or a TaskGroup; "
    "or end them: kill()"
)


def lines(program, status=0, before=DEV):
    """Run a program. Return what it prints, and what is on stderr."""
    found, output, errors = run_program(before + "import sys\n" + program)
    assert found == status, (output, errors)
    return output.splitlines(), errors


def warnings_of(program, **options):
    """Return the first lines of a program's warnings, without the place."""
    _, errors = lines(program, **options)
    found = (re.search(r":\d+: (\w+Warning: .*)", line) for line in errors)
    return [match[1] for match in found if match]


NEVER_RAN = "RuntimeWarning: 1 tasklet never ran before the program ended"
NOT_ENDED = "ResourceWarning: 1 tasklet had not ended when the program did"


FORGOTTEN = """
import tasklets
tasklets.spawn(print, "never", name="one")
"""


WAITING = """
from tasklets import *
kept = channel()
spawn(kept.receive, name="waits")
run()
"""


def test_a_tasklet_that_never_ran_is_reported_to_everybody():
    _, errors = lines(FORGOTTEN, before="")
    assert errors == [f"<string>:4: {NEVER_RAN}"]


def test_a_tasklet_that_waits_is_reported_at_the_line_that_spawned_it():
    _, errors = lines(WAITING)
    assert errors[0] == f"<string>:6: {NOT_ENDED}"


def test_a_tasklet_that_waits_is_reported_if_it_is_asked_for():
    assert lines(WAITING, before="") == ([], [])


@pytest.mark.parametrize(
    "end", ["1 / 0", "raise KeyboardInterrupt", "raise SystemError"]
)
def test_after_an_uncaught_exception_a_tasklet_that_never_ran_is_no_news(end):
    status = -2 if "Keyboard" in end else 1
    program = f"{FORGOTTEN}\n{end}"
    assert warnings_of(program, status=status, before="") == []
    assert warnings_of(program, status=status) == [
        NEVER_RAN.replace("RuntimeWarning", "ResourceWarning")
    ]


def test_an_exit_hides_no_tasklet_that_never_ran():
    program = f"import sys\n{FORGOTTEN}\nsys.exit(3)"
    assert warnings_of(program, status=3, before="") == [NEVER_RAN]


def test_the_report_tells_what_became_of_each():
    program = """
import subprocess
code = '''
import tasklets
from tasklets import *
ch = channel(name="jobs")
spawn(ch.receive, name="waits")
spawn(sleep, 100, name="sleeps")
held = spawn(schedule_remove, None, name="pauses")
run()
def yields():
    schedule()
spawn(yields, name="yields")
schedule()
spawn(int, name="fresh")
spawn(int, name="young")
'''
done = subprocess.run([sys.executable, "-X", "dev", "-c", code], capture_output=True)
print(done.stderr.decode())
"""
    output, _ = lines(program)
    text = re.sub(r"0x[0-9a-f]+", "0x", "\n".join(output))
    assert text.startswith(
        "<string>:13: RuntimeWarning: 2 tasklets never ran before the program ended\n"
        "  'fresh' (spawned at <string>:13)\n"
        "  'young' (spawned at <string>:14)\n"
        f"{LET_THEM_RUN}\n"
    )
    # Some versions of Python show the source line in between.
    assert (
        "\n<string>:5: ResourceWarning: 4 tasklets had not ended when the program did\n"
        "  'waits' (spawned at <string>:5): waits to receive from"
        " <tasklets.channel 'jobs' balance=-1 at 0x>\n"
        "  'sleeps' (spawned at <string>:6): sleeps\n"
        "  'pauses' (spawned at <string>:7): was paused\n"
        "  'yields' (spawned at <string>:11): was runnable\n"
        f"{LET_THEM}\n"
    ) in text
    assert text.count("never ran") == text.count("had not ended") == 1


def test_many_are_one_warning():
    program = """
import subprocess
code = '''
from tasklets import *
ch = channel()
for _ in range(10_000):
    spawn(ch.receive)
run()
'''
done = subprocess.run([sys.executable, "-X", "dev", "-c", code], capture_output=True)
print(done.stderr.decode())
"""
    output, _ = lines(program)
    text = "\n".join(output)
    assert "10000 tasklets had not ended when the program did" in text
    assert text.count("(spawned at <string>:5)") == 10
    assert "\n  and 9990 more\n" in text


QUIET = {
    "nobody was spawned": "import tasklets",
    "all have ended": """
from tasklets import *
spawn(int); run()
""",
    "killed": """
from tasklets import *
t = spawn(channel().receive); run(); t.kill()
""",
    "collected": """
import gc
from tasklets import *
spawn(schedule_remove); run(); gc.collect()
""",
    "dropped": """
from tasklets import *
spawn(schedule_remove, None); run()
""",
    "killed, and yet to end": """
from tasklets import *
kept = channel()
t = spawn(kept.receive); run(); t.kill(pending=True)
""",
    "killed before it ran": """
from tasklets import *
t = spawn(int); t.kill()
""",
    "killed before it ran, and yet to end": """
from tasklets import *
t = spawn(int); t.kill(pending=True)
""",
    "taken out of the queue": """
from tasklets import *
t = spawn(int).remove()
""",
    "to be called later": """
from tasklets import *
scheduler.call_later(100, int)
""",
    "bound only": """
from tasklets import *
t = tasklet(int)
""",
    "ended by an atexit function": """
import atexit
from tasklets import *
spawn(int)
atexit.register(run)
""",
    "os._exit": """
import os
from tasklets import *
spawn(int)
os._exit(0)
""",
    "a group": """
from tasklets import *
with TaskGroup() as group:
    group.spawn(sleep, 0.01)
""",
    "a daemon thread": """
import threading
from tasklets import *
ready = threading.Event()
def work():
    t = spawn(channel().receive)
    run()
    ready.set()
    channel().receive()
threading.Thread(target=work, daemon=True).start()
ready.wait()
""",
    "workers": """
from tasklets.workers import call_on_worker
print(call_on_worker(int))
""",
}


@pytest.mark.parametrize("name", QUIET)
def test_no_warning(name):
    assert warnings_of(QUIET[name]) == []


ENDS = {
    "a return": ("", 0),
    "sys.exit": ("sys.exit(3)", 3),
    "an error": ("1 / 0", 1),
    "an exit in a tasklet": ("spawn(sys.exit, 4); run()", 4),
}


@pytest.mark.parametrize("name", ENDS)
def test_an_end_reports_and_keeps_its_status(name):
    how, status = ENDS[name]
    program = f"""
from tasklets import *
kept = channel()
spawn(kept.receive); run()
{how}
"""
    assert warnings_of(program, status=status) == [NOT_ENDED]


def test_finally_blocks_run_after_the_report():
    program = """
from tasklets import *
kept = channel()
def body():
    try:
        kept.receive()
    finally:
        print("finally", file=sys.stderr)
spawn(body); run()
"""
    _, errors = lines(program)
    assert "had not ended" in errors[0]
    assert errors[-1] == "finally"


def test_the_main_thread_reports_once_if_other_threads_go_on():
    program = """
import threading, time
from tasklets import *
kept = channel()
spawn(kept.receive); run()
threading.Thread(target=time.sleep, args=(0.2,)).start()
"""
    assert warnings_of(program) == [NOT_ENDED]


def test_a_thread_reports_at_its_end():
    program = """
import threading
from tasklets import *
kept = channel()
def work():
    spawn(kept.receive)
    run()
    spawn(int)
    print(threading.get_ident())
thread = threading.Thread(target=work)
thread.start()
thread.join()
"""
    never_ran = "RuntimeWarning: 1 tasklet never ran before thread N ended"
    not_ended = "ResourceWarning: 1 tasklet had not ended when thread N did"
    (ident,), _ = lines(program)
    assert ident.isdecimal()
    for before, expected in (("", [never_ran]), (DEV, [never_ran, not_ended])):
        found = warnings_of(program, before=before)
        assert [re.sub(r"\d{2,}", "N", line) for line in found] == expected


@forks_beside_threads
def test_a_child_reports_what_it_made_itself():
    program = """
import os
from tasklets import *
kept = channel()
old = [spawn(kept.receive, name="old") for _ in range(3)]
run()
fresh = spawn(int, name="unborn")
pid = os.fork()
if pid == 0:
    spawn(kept.receive, name="young")
    sys.exit()
os.waitpid(pid, 0)
for each in old:
    each.kill()
run()
"""
    assert warnings_of(program) == [NEVER_RAN]


@forks_beside_threads
def test_a_child_that_ends_by_exit_says_nothing():
    program = """
import os
from tasklets import *
kept = channel()
t = spawn(kept.receive)
run()
pid = os.fork()
if pid == 0:
    spawn(int)
    os._exit(0)
os.waitpid(pid, 0)
t.kill()
"""
    assert warnings_of(program) == []


def test_debug_prints_though_warnings_are_off():
    program = "import tasklets\ntasklets.debug = True\n" + WAITING
    output, errors = lines(program, before="")
    assert output == []
    assert errors == ["tasklets: 1 tasklet had not ended when the program did"]
    assert tasklets.debug is False


def test_debug_prints_nothing_twice():
    program = f"import tasklets\ntasklets.debug = True\n{FORGOTTEN}"
    _, errors = lines(program, before="")
    assert [line for line in errors if "never ran" in line] == [
        f"<string>:6: {NEVER_RAN}"
    ]


def test_debug_may_be_anything():
    program = """
import tasklets
class Odd:
    def __bool__(self):
        raise ValueError
tasklets.debug = Odd()
"""
    assert lines(program + WAITING, before="") == ([], [])


def test_a_warning_that_is_an_error_breaks_no_end():
    program = """
import warnings
warnings.simplefilter("error", ResourceWarning)
from tasklets import *
kept = channel()
def body():
    try:
        kept.receive()
    finally:
        print("finally", flush=True)
spawn(body); run()
"""
    output, errors = lines(program, before="")
    assert output == ["finally"]
    assert any("Exception ignored in" in line for line in errors)
    assert any("ResourceWarning: 1 tasklet had not ended" in line for line in errors)


def test_a_showwarning_that_switches_is_refused():
    program = """
from tasklets import *
kept = channel()
def show(*args, **kwargs):
    try:
        schedule_remove()
    except RuntimeError as error:
        print(error, flush=True)
warnings.showwarning = show
spawn(kept.receive); run()
spawn(int)
"""
    output, _ = lines(program)
    assert len(output) == 2
    for line in output:
        assert line.startswith("cannot switch tasklets inside a callback")


def test_a_warning_tells_tracemalloc_which_object_it_is_about():
    program = """
import tracemalloc
tracemalloc.start()
"""
    _, errors = lines(program + WAITING)
    assert "Object allocated at (most recent call last):" in errors


# ---- what a budget stopped


def burn():
    while True:
        pass


def test_a_stopped_tasklet_that_is_dropped_is_reported():
    spawn(burn, name="burns")
    with pytest.warns(ResourceWarning) as caught:
        scheduler.run(slice_ticks=1000)
    (one,) = caught
    assert str(one.message) == (
        f"tasklet 'burns' (spawned at {__file__}:{one.lineno}) was stopped by a budget "
        "of run() and dropped: insert() lets it go on, kill() ends it"
    )
    assert one.filename == __file__
    run()  # ends it


@pytest.mark.filterwarnings("error::ResourceWarning")
def test_a_stopped_tasklet_that_is_kept_or_ended_is_not():
    spawn(burn)
    victim = scheduler.run(slice_ticks=1000)
    victim.kill()
    del victim
    spawn(burn)
    victim = scheduler.run(slice_ticks=1000)
    victim.insert()
    del victim
    victim = scheduler.run(slice_ticks=1000)
    victim.kill()


@pytest.mark.filterwarnings("error::ResourceWarning")
def test_a_tasklet_that_is_collected_while_it_is_paused_is_not_reported():
    spawn(tasklets.schedule_remove)
    run()
    gc.collect()


def test_a_dropped_tasklet_still_runs_its_finally_blocks():
    log = []

    def body():
        try:
            burn()
        finally:
            log.append("finally")

    spawn(body)
    with pytest.warns(ResourceWarning):
        scheduler.run(slice_ticks=1000)
    run()
    assert log == ["finally"]


def test_a_dropped_tasklet_that_goes_on_is_stopped_by_the_next_budget():
    killed = []

    def body():
        while len(killed) < 3:
            try:
                burn()
            except tasklets.TaskletExit:
                killed.append(True)

    spawn(body)
    for count in range(3):
        with pytest.warns(ResourceWarning, match="was stopped by a budget"):
            scheduler.run(slice_ticks=1000)
        assert len(killed) == count  # not killed where it was dropped
    assert scheduler.run(slice_ticks=1000) is None
    assert len(killed) == 3


def test_a_stopped_tasklet_in_a_cycle_is_reported_when_it_is_collected():
    def body(own):
        own.append(tasklets.getcurrent())
        burn()

    spawn(body, [])

    def run_and_collect():
        scheduler.run(slice_ticks=1000)
        gc.collect()

    with pytest.warns(ResourceWarning, match="was stopped by a budget"):
        run_and_collect()
    run()


def test_the_environment_of_these_tests_shows_no_warnings():
    assert "PYTHONWARNINGS" not in os.environ
