"""``hf-mtl serve``: a model's answers over HTTP."""

from __future__ import annotations

import sys

import typer

from hf_mtl_light.errors import MissingExtraError, UserError
from hf_mtl_light.text import terminal_text

__all__ = ["serve"]


def serve(
    model: str = typer.Argument(
        help="The model: a run folder, a Hub id, or a folder that hf-mtl export --to onnx wrote.", show_default=False
    ),
    host: str = typer.Option("127.0.0.1", help="The address to listen on; 0.0.0.0 is all of this machine's."),
    port: int = typer.Option(8000, min=0, max=65535, help="The port to listen on; 0 is any that is free."),
    batch_tokens: int = typer.Option(2048, min=1, help="The most tokens of one pass of the encoder."),
    max_wait_ms: float = typer.Option(
        5.0, min=0, help="How long a pass waits for requests that are being tokenised, in milliseconds."
    ),
    max_queue: int = typer.Option(1024, min=1, help="The most texts that wait; a request beyond that gets 429."),
    max_inputs: int | None = typer.Option(
        None, min=1, help="The most texts of one request: 256 by default, and never more than the queue takes."
    ),
    max_text_length: int = typer.Option(50_000, min=1, help="The most characters of one text."),
    max_body: int = typer.Option(4_000_000, min=1, help="The most bytes of a request's body."),
    max_pixels: int = typer.Option(16_000_000, min=1, help="The most pixels of a picture, width times height."),
    timeout: float = typer.Option(60.0, min=0.001, help="Seconds from a request's admission to its answer."),
    grace: float = typer.Option(10.0, min=0.001, help="Seconds that requests get once the server is stopped."),
    threads: int = typer.Option(32, min=1, help="The most requests that are read or answered at a time."),
) -> None:
    """Answer texts and pictures over HTTP, with all tasks in one pass: POST /predict, GET /health, /info, /docs.

    Requests that come at the same time share passes, whatever tasks and options they ask for. SIGINT and SIGTERM stop
    the server once what it has admitted is answered.
    """
    try:
        import fastapi
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise MissingExtraError(f"hf-mtl serve needs {error.name}: pip install 'hf-mtl[serve]'") from error
    from hf_mtl.cli._model import open_backend
    from hf_mtl.serving import ServerSettings, make_app
    from hf_mtl.serving import serve as run

    settings = ServerSettings(
        batch_tokens=batch_tokens,
        max_wait=max_wait_ms / 1000,
        max_queue=max_queue,
        max_inputs=min(256, max_queue) if max_inputs is None else max_inputs,
        max_text_length=max_text_length,
        max_body=max_body,
        max_pixels=max_pixels,
        request_timeout=timeout,
        grace=grace,
        threads=threads,
    )
    backend, kind = open_backend(model)
    app: fastapi.FastAPI = make_app(backend, model, kind, settings)
    count = len(app.state.answering.default.names)
    what = f"{model} ({kind}, {count} {'task' if count == 1 else 'tasks'})"

    def say(url: str) -> None:
        print(terminal_text(f"Serving {what} at {url}, see {url}/docs"), file=sys.stderr, flush=True)

    if not run(app, host, port, settings, say):
        raise UserError(f"--host {host} --port {port}: cannot listen there. Another server may use the port.")
