"""Streams at the ends of threads, and after forks."""

import threading

from children import needs_own_allocator, run_program
from connections import two_streams

LATE = 30


def test_a_thread_that_ends_sends_what_it_wrote():
    with two_streams() as (one, other):
        thread = threading.Thread(target=one.write, args=(b"last words",))
        thread.start()
        thread.join()
        assert other.read(timeout=LATE) == b"last words"
        one.write(b"more")
        assert other.read(timeout=LATE) == b"more"


SETUP = """
import os, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # of forks beside threads
from tasklets import net, schedule, sleep, spawn

def echo(stream):
    while data := stream.read():
        stream.write(data)

def ask(stream, text):
    stream.write(text)
    return stream.read(timeout=30)

server = net.serve(echo, ("127.0.0.1", 0))
client = net.connect(server.addresses[0])
assert ask(client, b"before") == b"before"
"""


@needs_own_allocator
def test_streams_go_on_in_the_child_of_a_fork():
    status, output, errors = run_program(
        SETUP
        + """
pid = os.fork()
if pid == 0:
    assert ask(client, b"child") == b"child"
    with net.connect(server.addresses[0]) as other:
        assert ask(other, b"new") == b"new"
    os._exit(7)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
assert ask(client, b"parent") == b"parent"
with net.connect(server.addresses[0]) as other:
    assert ask(other, b"new") == b"new"
client.close()
server.kill()
print("done")
"""
    )
    assert (status, output, errors) == (0, "done\n", [])


@needs_own_allocator
def test_a_thread_forks_while_another_waits():
    status, output, errors = run_program(
        SETUP
        + """
import threading

def wait():
    with net.connect(server.addresses[0]) as mine:
        threads_turn.set()
        answers.append(ask(mine, b"other thread"))

answers, threads_turn = [], threading.Event()
thread = threading.Thread(target=wait)
thread.start()
threads_turn.wait()
pid = os.fork()
if pid == 0:
    server.close()  # the connection of the thread is for the parent
    assert ask(client, b"child") == b"child"
    os._exit(7)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
while thread.is_alive():
    sleep(0.001)
assert ask(client, b"parent") == b"parent"
client.close()
server.kill()
print(answers)
"""
    )
    assert (status, output, errors) == (0, "[b'other thread']\n", [])


def test_a_program_ends_with_connections_open():
    status, output, errors = run_program(SETUP + "print('done')\n")
    assert (status, output, errors) == (0, "done\n", [])


@needs_own_allocator
def test_a_fork_takes_nothing_from_the_set_in_which_the_parent_sleeps():
    status, output, errors = run_program(
        SETUP
        + """
from tasklets import fs, scheduler

def look(path):  # libuv's descriptor, and that of the poller, wake the sleeping thread
    fs.stat(path, timeout=30)
    reading, writing = os.pipe()
    writer = spawn(lambda: (sleep(0.002), os.write(writing, b"x")))
    scheduler.wait_readable(reading, timeout=30)
    os.close(reading), os.close(writing)

for path in ("/", "/tmp"):
    assert ask(client, b"x") == b"x"
    look(path)
pid = os.fork()
if pid == 0:
    look("/")
    assert ask(client, b"child") == b"child"
    os._exit(7)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
for path in ("/", "/tmp"):
    look(path)
    assert ask(client, b"parent") == b"parent"
client.close()
server.kill()
print("done")
"""
    )
    assert (status, output, errors) == (0, "done\n", [])
