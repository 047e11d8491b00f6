"""The peers that are installed; gevent may not be."""

try:
    import gevent
    import gevent.event
    import gevent.queue
except ImportError:
    gevent = None


def only_with_gevent(subjects):
    """Return the subjects, without gevent's if gevent is not installed."""
    if gevent is not None:
        return subjects
    return {name: func for name, func in subjects.items() if name != "gevent"}
