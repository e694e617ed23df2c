"""``hf-mtl serve``: a model's answers over HTTP, of requests that share passes of the encoder.

- a `Backend` is a pipeline, or an `OnnxPredictor`, which needs neither torch nor transformers;
- `BatchingRunner` puts windows of concurrent requests into one pass, whatever tasks and options each asks for;
- `make_app` is the FastAPI application, `serve` runs it until it is stopped.
"""

from __future__ import annotations

from hf_mtl.serving._app import make_app
from hf_mtl.serving._backend import Backend
from hf_mtl.serving._batching import BatchingRunner
from hf_mtl.serving._server import Server, make_server, serve
from hf_mtl.serving._settings import ServerSettings

__all__ = ["Backend", "BatchingRunner", "Server", "ServerSettings", "make_app", "make_server", "serve"]
