"""Our queues pass the interpreter's own tests of queues, with all kinds of threads."""

import unittest

from crowds import CROWDS, load

from tasklets import locks, queues

# Of the queues that are written in Python: what they test is not bound to these.
SUITES = ["QueueTest", "LifoQueueTest", "PriorityQueueTest", "FailingQueueTest"]

# The size of an object of the interpreter's own.
NOT_OURS = {"test_simplequeue_sizeof"}


def suites():
    """Yield every suite for every crowd."""
    names = ["Barrier", "Event", "Lock"]
    ours = {name: getattr(locks, name) for name in names}
    for crowd in CROWDS:
        module = load("test_queue", crowd, ours)
        bases = {name: (getattr(module, name), unittest.TestCase) for name in SUITES}
        bases["SimpleQueueTest"] = (module.CSimpleQueueTest,)
        for title, base in bases.items():
            name = f"{title.removesuffix('Test')}Among{crowd.name.title()}"
            members = {
                "crowd": crowd,
                "queue": queues,
                "__module__": __name__,
                "__qualname__": name,
            }
            members |= {name: None for name in NOT_OURS if hasattr(base[0], name)}
            yield type(name, base, members)


globals().update({cls.__name__: cls for cls in suites()})
