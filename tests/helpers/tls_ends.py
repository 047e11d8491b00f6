"""Contexts and connections for TLS.

net/certificates has those of an authority, which is not one of the system's, and what
it has signed: `localhost`, `elsewhere` and `client`. make.sh there makes them anew.
"""

import contextlib
import ssl
import threading

from children import TESTS
from connections import LATE, PAIRS, shrink

from tasklets import spawn
from tasklets.net import Stream

FOLDER = TESTS / "net" / "certificates"
AUTHORITY = FOLDER / "authority.pem"

VERSIONS = {"TLSv1.2": ssl.TLSVersion.TLSv1_2, "TLSv1.3": ssl.TLSVersion.TLSv1_3}


def server_context(name="localhost", version=None):
    """Return a context for a server with that certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(FOLDER / f"{name}.pem")
    if version is not None:
        context.minimum_version = context.maximum_version = VERSIONS[version]
    return context


def client_context(certificate=None):
    """Return a context for a client that trusts the authority."""
    context = ssl.create_default_context(cafile=AUTHORITY)
    if certificate is not None:
        context.load_cert_chain(FOLDER / f"{certificate}.pem")
    return context


def error_of(func, *args, **kwargs):
    """Return what the call raises, or None: for tasklets that nobody waits for yet."""
    try:
        func(*args, **kwargs)
    except Exception as exc:
        return exc
    return None


def start_both(client, server, client_options=None, server_options=None):
    """Begin TLS on two connected streams."""
    options = {"server_hostname": "localhost", **(client_options or {})}
    client_tls = options.pop("context", None) or client_context()
    others = dict(server_options or {})
    server_tls = others.pop("context", None) or server_context()
    other = spawn(server.start_tls, server_tls, server_side=True, **others)
    client.start_tls(client_tls, **options)
    other.result(timeout=LATE)


@contextlib.contextmanager
def tls_streams(kind="tcp", small=False, version=None, **options):
    """Yield two connected streams with TLS: the client, and the server."""
    one, other = PAIRS[kind]()
    if small:
        shrink(one)
        shrink(other)
    client, server = Stream(one), Stream(other)
    try:
        start_both(
            client, server, options, {"context": server_context(version=version)}
        )
        yield client, server
    finally:
        client.abort()
        server.abort()


@contextlib.contextmanager
def stream_and_ssl_socket(server_side, version=None, small=False):
    """Yield a stream with TLS, and its peer, an ssl.SSLSocket with a timeout."""
    one, other = PAIRS["tcp"]()
    if small:
        shrink(one)
        shrink(other)
    other.settimeout(LATE)
    server = server_context(version=version)
    peers = []

    def shake():
        if server_side:
            peer = client_context().wrap_socket(other, server_hostname="localhost")
        else:
            peer = server.wrap_socket(other, server_side=True)
        peers.append(peer)

    thread = threading.Thread(target=shake)
    thread.start()
    stream = Stream(one)
    try:
        if server_side:
            stream.start_tls(server, server_side=True)
        else:
            stream.start_tls(client_context(), server_hostname="localhost")
        thread.join(LATE)
        with peers[0]:
            yield stream, peers[0]
    finally:
        stream.abort()
