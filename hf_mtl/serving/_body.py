"""A request's body: read whole, within a size and a time, before anything is done with it."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from fastapi.responses import JSONResponse

from hf_mtl.serving._settings import ServerSettings

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["BodyLimits", "problem"]


def problem(status: int, detail: str, headers: dict[str, str] | None = None) -> JSONResponse:
    """Return an answer that says why there is none."""
    # Half of a surrogate pair, of a name or a key in the body, cannot be sent.
    text = detail.encode("utf-8", "backslashreplace").decode("utf-8")
    return JSONResponse({"detail": text}, status, headers)


class BodyLimits:
    """ASGI middleware: answers 413, 408 or 503 where a body is too large, too slow, or the server stops.

    What exceeds the size is read and dropped, up to four times as much: most clients read no answer before they have
    sent their body.

    Args:
        app: The application.
        settings: The limits.
        stopping: Set once the server stops.
    """

    def __init__(self, app: ASGIApp, settings: ServerSettings, stopping: asyncio.Event) -> None:
        self._app = app
        self._settings = settings
        self._stopping = stopping

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        try:
            body = await self._read(receive)
        except _NotReadError as error:
            if error.status is not None:
                refused = problem(error.status, error.detail, {"Connection": "close"})
                await refused(scope, receive, send)
            return None
        messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def replay() -> Message:
            return messages.pop() if messages else await receive()

        return await self._app(scope, replay, send)

    async def _read(self, receive: Receive) -> bytes:
        limits = self._settings
        end = time.monotonic() + limits.body_timeout
        chunks: list[bytes] = []
        size = 0
        is_whole = False
        stopping = asyncio.ensure_future(self._stopping.wait())
        try:
            while not is_whole and size <= 4 * limits.max_body:
                arriving = asyncio.ensure_future(receive())
                done, _ = await asyncio.wait(
                    (arriving, stopping), timeout=max(0, end - time.monotonic()), return_when=asyncio.FIRST_COMPLETED
                )
                if arriving not in done:
                    arriving.cancel()
                    if stopping in done:
                        raise _NotReadError(503, "the server stops. Send the request again, to another one.")
                    raise _NotReadError(408, f"the body did not arrive within {limits.body_timeout:g} s.")
                message = arriving.result()
                if message["type"] == "http.disconnect":
                    raise _NotReadError(None)
                chunk = message.get("body", b"")
                size += len(chunk)
                is_whole = not message.get("more_body", False)
                if size <= limits.max_body:
                    chunks.append(chunk)
        finally:
            stopping.cancel()
        if size > limits.max_body:
            raise _NotReadError(413, f"the body is larger than {limits.max_body:,} bytes. Send several requests.")
        return b"".join(chunks)


class _NotReadError(Exception):
    """Raised where a body cannot be read.

    Args:
        status: Of the answer; ``None``: the client has left.
        detail: Why.
    """

    def __init__(self, status: int | None, detail: str = "") -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
