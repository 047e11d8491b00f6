"""What a message costs."""

import asyncio
import itertools
import queue

from benchmarks.measure import (
    LINKED,
    Workload,
    bare_switch,
    cpu_clock,
    in_thread,
    wall_clock,
)
from benchmarks.peers import gevent, only_with_gevent
from tasklets import channel, run, tasklet


def call_tasklets(n):
    """Request and reply over two channels, per message."""
    ask, answer = channel(), channel()
    rounds = max(n // 2, 1)

    def server(receive=ask.receive, send=answer.send):
        for _ in range(rounds):
            send(receive())

    def client(send=ask.send, receive=answer.receive):
        for i in range(rounds):
            send(i)
            receive()

    tasklet(server)()
    tasklet(client)()
    start = cpu_clock()
    run()
    return (cpu_clock() - start) / (2 * rounds)


def stream_tasklets(n):
    """Stream over one channel that prefers the receiver."""
    ch = channel()
    ch.preference = -1

    def producer(send=ch.send):
        for i in range(n):
            send(i)

    def consumer(receive=ch.receive):
        for _ in range(n):
            receive()

    tasklet(consumer)()
    tasklet(producer)()
    start = cpu_clock()
    run()
    return (cpu_clock() - start) / n


def fan_in_tasklets(n):
    """Many producers, one consumer."""
    ch = channel()
    each = max(n // LINKED, 1)

    def producer(send=ch.send):
        for i in range(each):
            send(i)

    for _ in range(LINKED):
        tasklet(producer)()
    # All are born and blocked before the clock starts.
    run()
    receive = ch.receive
    start = cpu_clock()
    for _ in range(each * LINKED):
        receive()
    # Messages in flight at the start, for those in flight at the end.
    run()
    return (cpu_clock() - start) / (each * LINKED)


def chain_tasklets(n):
    """Pass a value through many tasklets."""
    passes = max(n // LINKED, 1)
    links = [channel() for _ in range(LINKED + 1)]

    def link(receive, send):
        for _ in range(passes):
            send(receive() + 1)

    for left, right in itertools.pairwise(links):
        tasklet(link)(left.receive, right.send)
    run()
    send, receive = links[0].send, links[-1].receive
    start = cpu_clock()
    for _ in range(passes):
        send(0)
        receive()
    elapsed = cpu_clock() - start
    run()
    return elapsed / (passes * LINKED)


# ---- gevent


def call_gevent(n):
    """Request and reply over two of gevent's channels."""
    ask, answer = gevent.queue.Channel(), gevent.queue.Channel()
    rounds = max(n // 2, 1)

    def server(get=ask.get, put=answer.put):
        for _ in range(rounds):
            put(get())

    def client(put=ask.put, get=answer.get):
        for i in range(rounds):
            put(i)
            get()

    start = cpu_clock()
    gevent.joinall([gevent.spawn(server), gevent.spawn(client)])
    return (cpu_clock() - start) / (2 * rounds)


def stream_gevent(n, producers=1):
    """Stream over one of gevent's channels."""
    ch = gevent.queue.Channel()
    each = max(n // producers, 1)

    def producer(put=ch.put):
        for i in range(each):
            put(i)

    started = [gevent.spawn(producer) for _ in range(producers)]
    gevent.sleep(0)
    get = ch.get
    start = cpu_clock()
    for _ in range(each * producers):
        get()
    gevent.joinall(started)
    return (cpu_clock() - start) / (each * producers)


def fan_in_gevent(n):
    """Many producers, one consumer."""
    return stream_gevent(n, LINKED)


def chain_gevent(n):
    """Pass a value through many greenlets."""
    passes = max(n // LINKED, 1)
    links = [gevent.queue.Channel() for _ in range(LINKED + 1)]

    def link(get, put):
        for _ in range(passes):
            put(get() + 1)

    pairs = itertools.pairwise(links)
    started = [gevent.spawn(link, left.get, right.put) for left, right in pairs]
    gevent.sleep(0)
    start = cpu_clock()
    for _ in range(passes):
        links[0].put(0)
        links[-1].get()
    elapsed = cpu_clock() - start
    gevent.joinall(started)
    return elapsed / (passes * LINKED)


# ---- asyncio


def call_asyncio(n):
    """Request and reply over two of asyncio's queues."""
    rounds = max(n // 2, 1)

    async def main():
        ask, answer = asyncio.Queue(1), asyncio.Queue(1)

        async def server():
            for _ in range(rounds):
                await answer.put(await ask.get())

        async def client():
            for i in range(rounds):
                await ask.put(i)
                await answer.get()

        start = cpu_clock()
        await asyncio.gather(server(), client())
        return cpu_clock() - start

    return asyncio.run(main()) / (2 * rounds)


def stream_asyncio(n, producers=1):
    """Stream over one of asyncio's queues of capacity 1."""
    each = max(n // producers, 1)

    async def main():
        ch = asyncio.Queue(1)

        async def producer():
            for i in range(each):
                await ch.put(i)

        started = asyncio.gather(*[producer() for _ in range(producers)])
        await asyncio.sleep(0)
        start = cpu_clock()
        for _ in range(each * producers):
            await ch.get()
        await started
        return cpu_clock() - start

    return asyncio.run(main()) / (each * producers)


def fan_in_asyncio(n):
    """Many producers, one consumer."""
    return stream_asyncio(n, LINKED)


def chain_asyncio(n):
    """Pass a value through many tasks."""
    passes = max(n // LINKED, 1)

    async def main():
        links = [asyncio.Queue(1) for _ in range(LINKED + 1)]

        async def link(left, right):
            for _ in range(passes):
                await right.put(await left.get() + 1)

        pairs = itertools.pairwise(links)
        started = asyncio.gather(*[link(left, right) for left, right in pairs])
        await asyncio.sleep(0)
        start = cpu_clock()
        for _ in range(passes):
            await links[0].put(0)
            await links[-1].get()
        elapsed = cpu_clock() - start
        await started
        return elapsed

    return asyncio.run(main()) / (passes * LINKED)


# ---- operating system threads


def call_threads(n):
    """Request and reply over two of the standard library's queues."""
    ask, answer = queue.SimpleQueue(), queue.SimpleQueue()
    rounds = max(n // 2, 1)

    def server(get=ask.get, put=answer.put):
        for _ in range(rounds):
            put(get())

    thread = in_thread(server)
    start = wall_clock()
    for i in range(rounds):
        ask.put(i)
        answer.get()
    elapsed = wall_clock() - start
    thread.join()
    return elapsed / (2 * rounds)


def stream_threads(n):
    """Stream over a queue of capacity 1."""
    ch = queue.Queue(1)

    def producer():
        for i in range(n):
            ch.put(i)

    thread = in_thread(producer)
    start = wall_clock()
    for _ in range(n):
        ch.get()
    elapsed = wall_clock() - start
    thread.join()
    return elapsed / n


def workload(title, reach, beyond, subject, **peers):
    """Return a workload that counts messages."""
    return Workload(
        title=title,
        size=50_000,
        reach=reach,
        beyond=beyond,
        reference=bare_switch,
        tasklets=subject,
        peers=only_with_gevent(peers),
    )


WORKLOADS = {
    "request_reply": workload(
        "request and reply over two channels, per message",
        1.6,
        1.2,
        call_tasklets,
        gevent=call_gevent,
        asyncio=call_asyncio,
        threads=call_threads,
    ),
    "stream": workload(
        "stream over one channel, receiver preferred, per message",
        2.4,
        1.9,
        stream_tasklets,
        gevent=stream_gevent,
        asyncio=stream_asyncio,
        threads=stream_threads,
    ),
    "fan_in": workload(
        f"fan-in from {LINKED} producers, per message",
        2.6,
        None,
        fan_in_tasklets,
        gevent=fan_in_gevent,
        asyncio=fan_in_asyncio,
    ),
    "daisy_chain": workload(
        f"daisy chain of {LINKED}, per hop",
        2.2,
        None,
        chain_tasklets,
        gevent=chain_gevent,
        asyncio=chain_asyncio,
    ),
}
