"""The process: it listens, and stops gracefully."""

from __future__ import annotations

import asyncio
import math
import socket
from collections.abc import Callable

import uvicorn
from fastapi import FastAPI

from hf_mtl.serving._answering import Answering
from hf_mtl.serving._settings import ServerSettings

__all__ = ["Server", "make_server", "serve"]


class Server(uvicorn.Server):
    """Uvicorn, which says to the application that it stops: bodies that still arrive are not waited for.

    Args:
        config: Of uvicorn.
        app: The application.
        is_ready: Called with the address once requests are answered.
    """

    def __init__(self, config: uvicorn.Config, app: FastAPI, is_ready: Callable[[str], None] | None = None) -> None:
        super().__init__(config)
        self._stopping: asyncio.Event = app.state.stopping
        #: What answers requests, and what runs its passes.
        self.answering: Answering = app.state.answering
        self.passes = self.answering.passes
        self._is_ready = is_ready
        #: Where it listens, once it does.
        self.url = ""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen."""
        await super().startup(sockets)
        if self.started and self.servers:
            host, port = self.servers[0].sockets[0].getsockname()[:2]
            self.url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
            if self._is_ready is not None:
                self._is_ready(self.url)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Answer what was admitted, and stop."""
        self._stopping.set()
        await super().shutdown(sockets)


def make_server(
    app: FastAPI,
    host: str,
    port: int,
    settings: ServerSettings,
    is_ready: Callable[[str], None] | None = None,
) -> Server:
    """Return a server of an application; its ``run`` serves until a signal or ``should_exit`` stops it.

    Args:
        app: Made by `make_app`.
        host: The address to listen on.
        port: The port; 0: any that is free.
        settings: Those of the application.
        is_ready: Called with the address once requests are answered.
    """
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        log_level="warning",
        # The application answers or refuses within the grace; longer waits are no use.
        timeout_graceful_shutdown=math.ceil(settings.grace) + 2,
    )
    return Server(config, app, is_ready)


def serve(app: FastAPI, host: str, port: int, settings: ServerSettings, is_ready: Callable[[str], None]) -> bool:
    """Serve until SIGINT or SIGTERM; see `make_server`. Return whether it listened at all."""
    server = make_server(app, host, port, settings, is_ready)
    server.run()
    return server.started
