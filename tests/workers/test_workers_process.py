"""Worker threads at the end of a program, in forks, and when signals come."""

import pytest
from children import forks_beside_threads, run_program

# Before the tested program.
IMPORTS = """
import os, signal, sys, threading, time
import tasklets
from tasklets import channel, schedule, spawn
from tasklets.workers import WorkerPool, call_in_scheduler, call_on_worker

def interrupt_soon():
    threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()

def busy_forever():
    while True:
        pass
"""


def run(program):
    """Return what a program prints; it must end well, and without an error."""
    status, output, errors = run_program(IMPORTS + program)
    assert (status, errors) == (0, []), (status, output, errors)
    return output


def test_an_interrupt_ends_the_wait_for_a_long_call():
    output = run("""
try:
    interrupt_soon()
    call_on_worker(time.sleep, 1000)
except KeyboardInterrupt:
    print("interrupted")
""")
    assert output == "interrupted\n"


def test_an_interrupted_program_ends_at_once():
    status, _, errors = run_program(
        IMPORTS
        + """
interrupt_soon()
call_on_worker(time.sleep, 1000)
"""
    )
    assert status not in (0, None)
    assert errors[-1] == "KeyboardInterrupt"


def test_an_interrupt_while_tasklets_wait_for_workers_reaches_main():
    output = run("""
calls = [spawn(call_on_worker, time.sleep, 1000) for _ in range(3)]
schedule()
try:
    interrupt_soon()
    calls[0].join()
except KeyboardInterrupt:
    print("interrupted", [t.blocked for t in calls])
""")
    assert output == "interrupted [True, True, True]\n"


@pytest.mark.parametrize(
    "call",
    [
        "time.sleep, 1000",
        "busy_forever",
        "channel().receive",
        "lambda: call_on_worker(time.sleep, 1000)",
    ],
)
def test_a_program_ends_with_calls_in_flight(call):
    output = run(f"""
t = spawn(call_on_worker, {call})
schedule()
time.sleep(0.05)
print("end")
""")
    assert output == "end\n"


def test_a_program_ends_with_calls_in_the_queue():
    output = run("""
pool = WorkerPool(1, max_queued=3)
for _ in range(3):
    pool.submit(time.sleep, 1000)
for _ in range(50):
    spawn(call_on_worker, time.sleep, 1000)
    spawn(pool.submit, time.sleep, 1000)
schedule()
print("end")
""")
    assert output == "end\n"


def test_a_program_ends_while_results_come_in():
    output = run("""
pool = WorkerPool(8)
futures = [pool.submit(time.sleep, i / 10000) for i in range(100)]
calls = [spawn(call_on_worker, time.sleep, i / 10000) for i in range(100)]
schedule()
time.sleep(0.005)
print("end")
""")
    assert output == "end\n"


def test_the_last_words_of_a_program_may_call():
    output = run("""
import atexit
call_on_worker(int)  # from Python 3.12 on, no thread can be started at the end
atexit.register(lambda: print("at exit", call_on_worker(int)))
print("end")
""")
    assert output == "end\nat exit 0\n"


def test_after_the_last_words_nothing_is_called():
    # Run when the module is gone, after tasklets' own part.
    output = run("""
import atexit, tasklets._core
tasklets._core._at_exit()
for call in call_on_worker, WorkerPool(1).submit:
    try:
        call(int)
    except RuntimeError as error:
        print(error)
""")
    assert output.count("shutdown") + output.count("ending") >= 1


@forks_beside_threads
def test_a_child_has_fresh_workers():
    output = run("""
import warnings
warnings.simplefilter("ignore")
call_on_worker(int)
pool = WorkerPool(2)
pool.submit(int).result()
pid = os.fork()
if pid == 0:
    print(call_on_worker(pow, 2, 3), pool.submit(pow, 2, 4).result(), flush=True)
    print(len(threading.enumerate()), pool._pool.workers, flush=True)
    pool.shutdown()
    os._exit(0)
print(os.waitpid(pid, 0)[1], call_on_worker(pow, 2, 5))
pool.shutdown()
""")
    assert output == "8 16\n3 1\n0 32\n"


@forks_beside_threads
def test_calls_of_the_parent_are_lost_in_the_child():
    output = run("""
import warnings
warnings.simplefilter("ignore")
gate = threading.Event()
pool = WorkerPool(1, max_queued=1)
running, queued = pool.submit(gate.wait), pool.submit(int)
calls = [spawn(call_on_worker, gate.wait), spawn(pool.submit, int)]
ends = [spawn(t.exception) for t in calls] + [spawn(running.exception)]
schedule(); schedule()
while running._job.cancel():
    pass
pid = os.fork()
if pid == 0:
    print([type(t.result()).__name__ for t in ends], flush=True)
    for future in running, queued:
        try:
            future.result()
        except RuntimeError as error:
            print(error, flush=True)
    os._exit(0)
print(os.waitpid(pid, 0)[1], flush=True)
gate.set()
print([t.result() for t in ends], running.result(), queued.result())
""")
    lost = "the worker with this call has stayed behind in the parent process"
    assert lost in output
    assert "['RuntimeError', 'NoneType', 'RuntimeError']" in output
    assert output.endswith("0\n[None, None, None] True 0\n")


@forks_beside_threads
def test_a_worker_may_fork():
    output = run("""
import warnings
warnings.simplefilter("ignore")

def fork():
    pid = os.fork()
    if pid == 0:
        print("child", call_on_worker(pow, 2, 3), flush=True)
    return pid

pid = call_on_worker(fork)
print("parent", os.waitpid(pid, 0)[1], call_on_worker(pow, 2, 4))
""")
    assert output == "child 8\nparent 0 16\n"


def test_the_number_of_workers_comes_from_the_environment():
    output = run("""
os.environ["TASKLETS_WORKERS"] = "2"
gate = threading.Event()
idents = set()

def wait():
    idents.add(threading.get_ident())
    gate.wait()

calls = [spawn(call_on_worker, wait) for _ in range(200)]
schedule()
while len(idents) < 2:
    time.sleep(0.001)
try:
    call_on_worker(int, timeout=0.5)
except TimeoutError:
    print(len(idents))
gate.set()
for call in calls:
    call.result()
print(len(idents))
""")
    assert output == "2\n2\n"


def test_a_bad_number_of_workers_is_an_error_of_the_call():
    output = run("""
os.environ["TASKLETS_WORKERS"] = "none"
try:
    call_on_worker(int)
except ValueError as error:
    print(error)
""")
    assert output == "TASKLETS_WORKERS must be a positive int, not 'none'\n"


def test_threads_that_end_while_their_calls_run_are_forgotten():
    output = run("""
gate = threading.Event()

def short():
    spawn(call_on_worker, gate.wait)
    schedule()

threads = [threading.Thread(target=short) for _ in range(3)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
gate.set()
print(call_on_worker(int), tasklets.scheduler.statistics()["threads"])
""")
    assert output == "0 1\n"
