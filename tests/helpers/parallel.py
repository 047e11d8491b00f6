"""Run the test modules in several processes: pytest --processes=2.

The processes are forked when all tests are collected, so nothing is collected twice.
Each runs one module after the other and sends the reports of its tests to the first
process, which runs no tests itself; it gives them to pytest like reports of its own.
Tests with the mark `timing` run after all others, in one process that has no other
beside it.

pytest-xdist would not do. Its workers have a thread that reads from the first process,
and beside another thread no wait of the main tasklet is a deadlock.
"""

import json
import os
import selectors
import signal
import socket
import warnings
from contextlib import suppress
from itertools import groupby

import pytest

LOOK_SECONDS = 1  # how often to look whether a process has ended without a word


class Sender:
    """The plugin of a process that runs tests: it sends what happens to them."""

    def __init__(self, config, socket):
        self.config, self.socket = config, socket

    def send(self, kind, value=None):
        """Send a message: a line of JSON."""
        self.socket.sendall(json.dumps([kind, value], default=str).encode() + b"\n")

    def pytest_runtest_logstart(self, nodeid):
        """Say which test is next, in case it ends the process."""
        self.send("test", nodeid)

    def pytest_runtest_logreport(self, report):
        """Send how a part of a test went."""
        to_data = self.config.hook.pytest_report_to_serializable
        self.send("report", to_data(config=self.config, report=report))


def run_modules(session, modules, socket):
    """Run the modules whose numbers arrive, until no more do."""
    config = session.config
    capture = config.pluginmanager.getplugin("capturemanager")
    capture.stop_global_capturing()  # into files of the first process
    capture.start_global_capturing()
    config.pluginmanager.unregister(name="terminalreporter")
    sender = Sender(config, socket)
    config.pluginmanager.register(sender)
    for number in socket.makefile():
        items = modules[int(number)]
        for item, following in zip(items, [*items[1:], None], strict=True):
            if session.shouldfail:
                following = None
            config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            if session.shouldfail:
                break
        sender.send("done")


class Process:
    """A process that runs tests, as the first process sees it."""

    def __init__(self, session, modules, others):
        self.module = None  # the number of the one it runs
        self.test = None  # the id of the last test that has begun
        self.is_done = False  # with the module
        self.reports, self.received = [], b""
        self.socket, theirs = socket.socketpair()
        with warnings.catch_warnings():
            # Of other threads: they are idle workers, which a child makes anew.
            warnings.simplefilter("ignore", DeprecationWarning)
            self.pid = os.fork()
        if self.pid == 0:
            # A process ends when the first one has closed the last copy of this end.
            for each in [*others, self]:
                each.socket.close()
            status = 1
            try:
                run_modules(session, modules, theirs)
                status = 0
            finally:
                os._exit(status)
        theirs.close()

    def begin(self, number):
        """Let it run a module."""
        self.module, self.test, self.is_done, self.reports = number, None, False, []
        self.socket.sendall(b"%d\n" % number)

    def receive(self):
        """Take something that it has sent. Return whether there was anything."""
        received = self.socket.recv(1 << 20)
        *lines, self.received = (self.received + received).split(b"\n")
        for kind, value in map(json.loads, lines):
            if kind == "test":
                self.test = value
            elif kind == "report":
                self.reports.append(value)
            else:
                self.is_done = True
        return received != b""

    def has_ended(self):
        """Return whether it has ended though there was a module to run."""
        # It stays a zombie for end().
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)

    def end(self):
        """Let it end, and return its exit status."""
        self.socket.close()
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


class Processes:
    """The plugin of the first process."""

    def __init__(self, count):
        self.count = count

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session):
        """Run all tests, unless they are of a single module."""
        beside = modules_of(item for item in session.items if not is_timing(item))
        alone = modules_of(item for item in session.items if is_timing(item))
        if session.testsfailed or session.config.option.collectonly:
            return None
        if len(beside) + len(alone) < 2:
            return None
        self.session = session
        with selectors.DefaultSelector() as selector:
            self.selector = selector
            try:
                self.run(beside, self.count)
                self.run(alone, 1)
            finally:
                for key in selector.get_map().values():
                    os.kill(key.data.pid, signal.SIGKILL)
                    key.data.end()
        return True

    def run(self, modules, count):
        """Run modules in `count` processes."""
        self.modules = modules
        # The slowest first, as far as that is known.
        slow = [sum(map(is_slow, items)) for items in modules]
        self.left = sorted(range(len(slow)), key=lambda n: (slow[n], -n))
        for _ in range(min(count, len(modules))):
            self.start()
        while self.selector.get_map():
            ready = [key.data for key, _ in self.selector.select(LOOK_SECONDS)]
            for process in [key.data for key in self.selector.get_map().values()]:
                if process in ready:
                    process.receive()
                if process.is_done:
                    self.next_module(process)
                elif process.has_ended():
                    self.replace(process)
                if self.session.shouldfail:
                    raise self.session.Failed(self.session.shouldfail)
                if self.session.shouldstop:
                    raise self.session.Interrupted(self.session.shouldstop)

    def start(self):
        """Start a process that runs the next module."""
        others = [key.data for key in self.selector.get_map().values()]
        process = Process(self.session, self.modules, others)
        self.selector.register(process.socket, selectors.EVENT_READ, process)
        process.begin(self.left.pop())

    def next_module(self, process):
        """Pass on the reports of a module; have the next one run, or let it end."""
        self.pass_on(process.reports)
        if self.left:
            process.begin(self.left.pop())
        else:
            self.selector.unregister(process.socket)
            process.end()

    def replace(self, process):
        """Report the test that ended its process; another one runs what is left."""
        self.selector.unregister(process.socket)
        process.socket.setblocking(False)  # a child of it may still have the other end
        with suppress(BlockingIOError, ConnectionError):
            while process.receive():
                pass
        self.pass_on(process.reports)
        items = self.modules[process.module]
        at = [item.nodeid for item in items].index(process.test or items[0].nodeid)
        report = pytest.TestReport(
            items[at].nodeid, items[at].location, {}, "failed",
            f"the process of this test has ended, with status {process.end()}", "call",
        )  # fmt: skip
        self.session.config.hook.pytest_runtest_logreport(report=report)
        if items[at + 1 :]:
            self.modules.append(items[at + 1 :])
            self.left.append(len(self.modules) - 1)
        if self.left:
            self.start()

    def pass_on(self, reports):
        """Give pytest the reports of a module."""
        config = self.session.config
        for data in reports:
            if isinstance(data["longrepr"], list):
                data["longrepr"] = tuple(data["longrepr"])  # of a skipped test
            from_data = config.hook.pytest_report_from_serializable
            report = from_data(config=config, data=data)
            test = {"nodeid": report.nodeid, "location": report.location}
            if report.when == "setup":
                config.hook.pytest_runtest_logstart(**test)
            config.hook.pytest_runtest_logreport(report=report)
            if report.when == "teardown":
                config.hook.pytest_runtest_logfinish(**test)


def modules_of(items):
    """Return the tests of each module."""
    return [list(tests) for _, tests in groupby(items, lambda item: item.path)]


def is_timing(item):
    """Return whether a test measures durations or rates."""
    return item.get_closest_marker("timing") is not None


def is_slow(item):
    """Return whether a test takes more than a second."""
    return item.get_closest_marker("slow") is not None
