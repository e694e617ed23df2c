"""The Hub on the loopback: a server process of our own, and processes in which the real client talks to it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from contextlib import contextmanager
from pathlib import Path

from tests.hub_server import TOKEN

__all__ = ["Hub", "serving"]

ROOT = Path(__file__).parent.parent


class Hub:
    """A running server and what tests ask of it."""

    def __init__(self, address, folder):
        self.address, self.folder = address, folder

    def ask(self, path, body=None):
        """Send a request past the client, and return the JSON that comes back."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            f"{self.address}{path}", data=data, headers={"Authorization": f"Bearer {TOKEN}"}
        )
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=30) as answer:
            return json.loads(answer.read() or b"null")

    def files(self, repo, revision="main"):
        """Return the names of a revision's files."""
        return sorted(file["path"] for file in self.ask(f"/api/models/{repo}/tree/{revision}?recursive=true"))

    def environment(self, **changes):
        """Return the environment of a client: this server, online, no proxy, no transfer but LFS, a fresh cache."""
        kept = {key: value for key, value in os.environ.items() if "proxy" not in key.lower()}
        return {
            **kept,
            "HF_ENDPOINT": self.address,
            "HF_HUB_OFFLINE": "0",
            "HF_HOME": str(self.folder / "cache"),
            "HF_TOKEN": TOKEN,
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "DISABLE_SAFETENSORS_CONVERSION": "1",
            "PYTHONPATH": str(ROOT),
            "OMP_NUM_THREADS": "1",
            **changes,
        }

    def run(self, *command, **changes):
        """Run Python with the client's environment and return what it did."""
        return subprocess.run(
            [sys.executable, *map(str, command)],
            capture_output=True,
            text=True,
            env=self.environment(**changes),
            cwd=self.folder,
            timeout=300,
        )


@contextmanager
def serving(folder):
    """Start a server that keeps its blobs in a folder; it ends with the context."""
    blobs = folder / "blobs"
    blobs.mkdir()
    server = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("hub_server.py")), str(blobs)], stdout=subprocess.PIPE, text=True
    )
    try:
        yield Hub(server.stdout.readline().strip(), folder)
    finally:
        server.kill()
        server.communicate()
