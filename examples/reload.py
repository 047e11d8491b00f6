"""A service that reloads its settings on SIGHUP, or when they change; SIGTERM stops it.

To be short, it sends the signals to itself.
"""

import os
import signal
import tempfile

from tasklets import QueueChannel, fs, signals, sleep, spawn

events = QueueChannel()


def hear():
    """Pass on the signals."""
    with signals.listen(signal.SIGHUP, signal.SIGTERM) as arrivals:
        for arrived in arrivals:
            events.send(arrived.name)


def look(path):
    """Tell when the file of settings has been written."""
    with fs.watch(path) as changes:
        for change in changes:
            if change.kind == "written":
                events.send("written")


def serve(path):
    """Do as the events say."""
    for event in events:
        if event == "SIGTERM":
            print("stopping")
            break
        with fs.open(path) as file:
            print(f"{event}: the settings are {file.read()!r}")


with tempfile.NamedTemporaryFile("w", suffix=".conf") as settings:
    settings.write("colour=red")
    settings.flush()
    helpers = [spawn(hear), spawn(look, settings.name)]
    service = spawn(serve, settings.name)
    sleep(0.01)  # by then they listen

    os.kill(os.getpid(), signal.SIGHUP)
    sleep(0.05)
    with open(settings.name, "w") as file:
        file.write("colour=blue")
    sleep(0.05)
    os.kill(os.getpid(), signal.SIGTERM)
    service.join()
    for helper in helpers:
        helper.kill()

print("SIGTERM ends a program again:", signal.getsignal(signal.SIGTERM).name)

# Output:
#   SIGHUP: the settings are 'colour=red'
#   written: the settings are 'colour=blue'
#   stopping
#   SIGTERM ends a program again: SIG_DFL
