"""A plain socket to an engine, for what stays open: the stream of events, a log that is followed."""

import socket
from urllib.parse import SplitResult, urlsplit

from console.client import Endpoint

CONNECT_S = 10.0


def address_of(endpoint: Endpoint) -> SplitResult:
    """Scheme, host and path as requests name them."""
    return urlsplit("http://localhost" if endpoint.socket is not None else endpoint.url or "")


def open_socket(endpoint: Endpoint, timeout_s: float = CONNECT_S) -> socket.socket:
    """Connects, with TLS where the address asks for it. Raises `OSError`."""
    if endpoint.socket is not None:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.settimeout(timeout_s)
        try:
            sock.connect(str(endpoint.socket))
        except OSError:
            sock.close()
            raise
        return sock
    address = address_of(endpoint)
    secure = address.scheme == "https"
    place = (address.hostname or "", address.port or (443 if secure else 80))
    sock = socket.create_connection(place, timeout=timeout_s)
    if not secure:
        return sock
    import ssl

    return ssl.create_default_context().wrap_socket(sock, server_hostname=address.hostname)
