"""A little of everything whose invariants are checked: see test_check_mutants.py."""

from threading import Thread

from tasklets import (
    QueueChannel,
    TaskGroup,
    channel,
    fs,
    recv,
    run,
    schedule,
    scheduler,
    select,
    shield,
    sleep,
    spawn,
    timeout,
)
from tasklets.locks import Condition, Lock, RLock
from tasklets.queues import SimpleQueue
from tasklets.testing import fake_clock
from tasklets.workers import WorkerPool

ROUNDS = 40


def channels():
    """Send, receive and select; kill waiters."""
    a, b, stored = channel(), channel(), QueueChannel(2)
    for _ in range(ROUNDS):
        sender = spawn(a.send, 1)
        other = spawn(stored.send_sequence, range(4))
        schedule()
        assert a.receive() == 1
        assert [stored.receive() for _ in range(4)] == [0, 1, 2, 3]
        waiting = [spawn(a.receive) for _ in range(3)]
        chooser = spawn(select, recv(a), recv(b))
        killed = spawn(select, recv(a), recv(b))
        schedule()
        waiting[1].kill()
        killed.kill()
        b.send(2)
        a.send(3)
        a.send(4)
        run()
        assert chooser.result()[1] == 2
        assert [waiting[0].result(), waiting[2].result()] == [3, 4]
        assert sender.done()
        assert other.done()


def locks():
    """Wait for locks and conditions."""
    lock, rlock = Lock(), RLock()
    condition = Condition(lock)

    def wait():
        with condition:
            return condition.wait()

    def acquire():
        with rlock, rlock:
            schedule()

    for _ in range(ROUNDS):
        waiting = [spawn(wait) for _ in range(3)]
        owners = [spawn(acquire) for _ in range(3)]
        schedule()
        waiting[0].kill()
        with condition:
            condition.notify(1)
        schedule()
        with condition:
            condition.notify_all()
        run()
        assert waiting[1].result()
        assert waiting[2].result()
        assert all(owner.done() for owner in owners)


def queues():
    """Have several wait for items."""
    queue = SimpleQueue()
    for _ in range(ROUNDS):
        getters = [spawn(queue.get) for _ in range(3)]
        schedule()
        for item in range(3):
            queue.put(item)
        run()
        assert [getter.result() for getter in getters] == [0, 1, 2]


def times():
    """Set and cancel timers, in one order and the other."""
    with fake_clock():
        for _ in range(ROUNDS):
            sleepers = [spawn(sleep, (i * 7) % 11 + 1) for i in range(20)]
            schedule()
            for sleeper in sleepers[::3]:
                sleeper.kill()
            with timeout(100), shield(200), timeout(50):
                sleep(12)
            assert all(sleeper.done() for sleeper in sleepers)


def groups():
    """Spawn into groups with a limit, and run() inside run()."""
    for _ in range(ROUNDS):
        with TaskGroup(2) as group:
            for _ in range(5):
                group.spawn(schedule)
        spawn(run)
        spawn(schedule)
        scheduler.run(rounds=2)
        run()


def workers():
    """Call functions on other threads, and ask libuv for files."""
    with WorkerPool(2) as pool:
        for i in range(ROUNDS):
            assert pool.call(abs, -i) == i
        calls = [spawn(pool.call, abs, -i) for i in range(ROUNDS)]
        assert [call.result() for call in calls] == list(range(ROUNDS))
    stats = [spawn(fs.stat, ".") for _ in range(ROUNDS)]
    assert all(stat.result().st_nlink for stat in stats)


def threads():
    """Have threads end that have had tasklets."""

    def work():
        tasklets = [spawn(schedule) for _ in range(3)]
        run()
        assert all(tasklet.done() for tasklet in tasklets)

    for _ in range(3):
        thread = Thread(target=work)
        thread.start()
        thread.join()


if __name__ == "__main__":
    channels()
    locks()
    queues()
    times()
    groups()
    workers()
    threads()
