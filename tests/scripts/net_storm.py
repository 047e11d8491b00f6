"""Clients and servers that come, go, stall, reset and are killed at random.

usage: net_storm.py SEED SECONDS
prints the memory of the process after a tenth of the time and at the end, in KiB, then
"ok" and the numbers of connections, messages and kills.

Each message has a number: none may be lost or doubled in a connection that has not been
broken. At the end no descriptor, stream or waiter is left.
"""

import gc
import os
import random
import resource
import socket
import sys
import time

from tasklets import TaskGroup, _core, net, sleep, spawn, timeout

ENDED = (OSError, EOFError, net.LimitError, TimeoutError)


class Storm:
    """The state of one run; its random numbers decide everything."""

    def __init__(self, seed, seconds):
        self.random = random.Random(seed)
        self.end = time.monotonic() + seconds
        self.messages = self.connections = self.killed = 0
        self.victims = []

    def over(self):
        return time.monotonic() > self.end

    # ---- the server: answers each line with the same line

    def serve(self, stream):
        draw = self.random
        self.victims.append(_core.getcurrent())
        how = draw.randrange(5)
        try:
            if how == 0:
                for line in stream:
                    stream.write(line)
            elif how == 1:
                while line := stream.readline(timeout=draw.uniform(0.001, 1)):
                    for i in range(0, len(line), 7):  # in small pieces
                        stream.write(line[i : i + 7])
            elif how == 2:
                while line := stream.read_until(b"\n", timeout=2):
                    stream.write(line)
                    stream.flush()
                    if draw.random() < 0.05:
                        sleep(draw.uniform(0, 0.02))
            elif how == 3:
                buffer = bytearray(100)
                while n := stream.readinto(buffer):
                    stream.write(memoryview(buffer)[:n])
            else:
                while data := stream.read(draw.choice([1, 10, 1000, 100_000])):
                    stream.write(data)
                    if draw.random() < 0.01:
                        stream.abort()
        except ENDED:
            pass

    # ---- clients

    def client(self, address):
        draw = self.random
        try:
            with net.connect(address, timeout=5) as stream:
                self.connections += 1
                if draw.random() < 0.2:
                    small = 4096
                    with socket.socket(fileno=os.dup(stream.fileno())) as sock:
                        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, small)
                self.talk(stream)
                if draw.random() < 0.2:
                    stream.abort()
        except ENDED:
            pass

    def talk(self, stream):
        draw = self.random
        writer = None
        count = draw.randrange(1, 50)
        lines = [
            b"%d %s\n" % (i, b"x" * draw.choice([0, 3, 100, 5000, 60_000]))
            for i in range(count)
        ]
        try:
            if draw.random() < 0.5:  # all at once, by a tasklet of its own
                writer = spawn(self.write_all, stream, lines)
            for line in lines:
                if writer is None:
                    stream.write(line, timeout=draw.choice([None, 0.5]))
                answer = stream.readline(limit=100_000, timeout=2)
                if answer == b"":
                    return
                assert answer == line or answer[-1:] != b"\n", "a message is wrong"
                self.messages += 1
                if draw.random() < 0.01:
                    sleep(draw.uniform(0, 0.05))
        finally:
            if writer is not None:
                writer.kill()

    def write_all(self, stream, lines):
        try:
            for line in lines:
                stream.write(line)
            stream.write_eof()
        except ENDED:
            pass

    def killer(self):
        while not self.over():
            sleep(self.random.uniform(0, 0.01))
            alive = [t for t in self.victims if t.alive]
            self.victims[:] = alive
            if alive:
                self.random.choice(alive).kill()
                self.killed += 1

    def clients(self, address):
        while not self.over():
            client = spawn(self.client, address)
            self.victims.append(client)
            client.join(timeout=self.random.uniform(0.001, 2))
            client.kill()

    def measure(self):
        sleep((self.end - time.monotonic()) / 10)
        self.memory = memory()

    def run(self):
        with net.serve(self.serve, ("127.0.0.1", 0)) as server:
            with TaskGroup() as group:
                for _ in range(10):
                    group.spawn(self.clients, server.addresses[0])
                group.spawn(self.killer)
                group.spawn(self.measure)
            assert server.drain(timeout=10), "a handler has not ended"


def memory():
    """Return the resident memory in KiB."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize() // 1024


def sockets():
    found = 0
    for name in os.listdir("/proc/self/fd"):
        try:
            found += os.readlink(f"/proc/self/fd/{name}").startswith("socket:")
        except OSError:
            pass
    return found


def main(seed, seconds):
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
    storm = Storm(seed, float(seconds))
    with timeout(float(seconds) + 60):
        storm.run()
    del storm.victims[:]
    gc.collect()
    left = {k: n for k, n in _core.live_counts().items() if k == "stream" and n}
    assert not left, left
    assert sockets() == 0, f"{sockets()} sockets are left"
    print("memory", storm.memory, memory())
    print("ok", storm.connections, storm.messages, storm.killed)


if __name__ == "__main__":
    main(*sys.argv[1:])
