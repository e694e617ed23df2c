"""``hf-mtl demo``: a page to try a model."""

from __future__ import annotations

import sys

import typer

from hf_mtl_light.text import terminal_text

__all__ = ["demo"]


def demo(
    model: str = typer.Argument(
        help="The model: a run folder, a Hub id, or a folder that hf-mtl export --to onnx wrote.", show_default=False
    ),
    host: str = typer.Option("127.0.0.1", help="The address to listen on; 0.0.0.0 is all of this machine's."),
    port: int = typer.Option(7860, min=0, max=65535, help="The port to listen on; 0 is any that is free."),
) -> None:
    """Open a page to try a model: a text or a picture in, each task's answer beside it. Ctrl-C ends it."""
    from hf_mtl.cli._model import open_backend
    from hf_mtl.demo import make_demo

    backend, _ = open_backend(model)
    page = make_demo(backend, model)
    _, url, _ = page.launch(
        server_name=host, server_port=port, quiet=True, prevent_thread_lock=True, share=False, footer_links=[]
    )
    print(terminal_text(f"A page to try {model}: {url}"), file=sys.stderr, flush=True)
    page.block_thread()
