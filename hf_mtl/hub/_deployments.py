"""Files by which the Hub runs a model: those of Inference Endpoints beside it, and those of a Space that shows it."""

from __future__ import annotations

import json
from pathlib import Path

from huggingface_hub import CommitInfo

from hf_mtl._names import package_version
from hf_mtl.hub._upload import create_repo, push_folder
from hf_mtl_light.outputs import write_text_whole

__all__ = ["push_space", "write_endpoint", "write_space"]

_HANDLER = '''"""Answers requests of Inference Endpoints: {"inputs": a text or a list, "parameters": {...}}."""

from typing import Any

from transformers import pipeline

import hf_mtl  # registers the pipeline


class EndpointHandler:
    """The model in this folder.

    Args:
        path: The folder.
    """

    def __init__(self, path: str = "") -> None:
        self.pipeline = pipeline("multi-task", model=path or ".")

    def __call__(self, data: dict[str, Any]) -> Any:
        """Return the pipeline's answers: a dict with an entry for each task, or a list of them."""
        inputs = data["inputs"]
        # A model of pictures alone takes strings for their paths.
        of_strings = self.pipeline.answerer().reads_paths
        for value in inputs if isinstance(inputs, list) else [inputs]:
            image = value.get("image") if isinstance(value, dict) else value if of_strings else None
            if image is not None and not (isinstance(image, str) and image.startswith("data:")):
                raise ValueError("'image' must be the picture itself, as a data: URL; it names a file of the server.")
        return self.pipeline(inputs, **data.get("parameters") or {})
'''

_APP = '''"""A page to try the model; written by hf-mtl push --space."""

from transformers import pipeline

import hf_mtl  # registers the pipeline
from hf_mtl.demo import make_demo

MODEL = {model}

demo = make_demo(pipeline("multi-task", model=MODEL), MODEL)

if __name__ == "__main__":
    demo.launch()
'''

_SPACE_CARD = """---
title: {title}
sdk: gradio
app_file: app.py
pinned: false
models:
- {model}
tags:
- multi-task
---

A page to try [{model}](https://huggingface.co/{model}): all its tasks in one pass.
"""


def write_endpoint(folder: Path) -> None:
    """Write ``handler.py`` and ``requirements.txt`` beside a model, as Inference Endpoints read them."""
    write_text_whole(folder / "handler.py", _HANDLER)
    write_text_whole(folder / "requirements.txt", f"hf-mtl[vision]=={package_version()}\n")


def write_space(folder: Path, model: str) -> None:
    """Write a Space that shows a model: ``app.py``, ``requirements.txt`` and its card.

    Args:
        folder: Where it goes.
        model: The model's repository.
    """
    write_text_whole(folder / "app.py", _APP.format(model=json.dumps(model)))
    write_text_whole(folder / "requirements.txt", f"hf-mtl[demo-page,vision]=={package_version()}\n")
    title = model.split("/")[-1]
    write_text_whole(folder / "README.md", _SPACE_CARD.format(title=json.dumps(title), model=model))


def push_space(folder: Path, repo_id: str, model: str, *, private: bool | None = None) -> CommitInfo:
    """Make a Space that shows a model that was pushed.

    Args:
        folder: An empty folder for its files.
        repo_id: The Space: ``user/name``, or ``name``.
        model: The model's repository.
        private: Whether a new Space is private.

    Raises:
        OSError: If the Hub refuses.
    """
    write_space(folder, model)
    repo_id = create_repo(repo_id, private=private, kind="space")
    return push_folder(folder, repo_id, message=f"Show {model}", kind="space")
