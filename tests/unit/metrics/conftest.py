"""No metric may open a connection, so none can in these tests."""

import socket
from collections.abc import Iterator

import pytest


def _refuse(*_: object) -> None:
    raise AssertionError("a built-in metric tried to open a network connection")


@pytest.fixture(autouse=True, scope="module")
def _no_network() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", _refuse)
        yield
