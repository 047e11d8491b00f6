"""A stream and its peer, of both kinds of socket."""

import pytest
from connections import PAIRS, stream_and_peer


@pytest.fixture(params=list(PAIRS))
def ends(request):
    with stream_and_peer(request.param) as both:
        ends = list(both)
        del both
        yield ends
        ends.clear()  # pytest keeps the list
