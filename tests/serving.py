"""A server in a thread of this process, and a client for it."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from hf_mtl.serving import Server, ServerSettings, make_app, make_server

__all__ = ["ask", "connect", "running"]


@contextmanager
def running(backend: Any, **settings: Any) -> Iterator[Server]:
    """Serve a model on a free port; stopped at the end."""
    limits = ServerSettings(**settings)
    listens = threading.Event()
    server = make_server(make_app(backend, "tiny", settings=limits), "127.0.0.1", 0, limits, lambda url: listens.set())
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        assert listens.wait(30)
        yield server
    finally:
        server.should_exit = True
        thread.join(30)
        assert not thread.is_alive(), "the server does not stop"


def connect(server: Server) -> http.client.HTTPConnection:
    """Return a connection, which stays open for several requests."""
    return http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=30)


def ask(
    to: Server | http.client.HTTPConnection,
    body: Any = None,
    path: str = "/predict",
    method: str = "POST",
) -> tuple[int, Any, Mapping[str, str]]:
    """Send a request, over a connection or a new one; a body that is no bytes goes as JSON.

    Returns:
        Status, answer and headers.
    """
    connection = connect(to) if isinstance(to, Server) else to
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    try:
        connection.request(method, path, data, {"Content-Type": "application/json"})
        response = connection.getresponse()
        content = response.read()
    finally:
        if connection is not to:
            connection.close()
    is_json = response.headers.get_content_type() == "application/json"
    return response.status, json.loads(content) if is_json else content, response.headers


def wait_until(claim: Any, seconds: float = 20.0) -> None:
    """Wait until something holds."""
    end = time.monotonic() + seconds
    while not claim():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.005)
