"""``hf-mtl push``: a trained model to the Hub."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import typer

from hf_mtl.cli._early import check_model
from hf_mtl_light.errors import UserError

__all__ = ["push"]


def push(
    model: str = typer.Argument(help="The model: a run folder.", show_default=False),
    repo: str = typer.Argument(help="The repository: user/name, or name in your own namespace.", show_default=False),
    private: bool | None = typer.Option(
        None, "--private/--public", help="Whether a new repository is private; by default as the account has it."
    ),
    revision: str | None = typer.Option(None, help="A branch, made if there is none.", show_default=False),
    message: str = typer.Option("Upload model", "--message", "-m", help="The commit's first line."),
    self_contained: bool = typer.Option(
        False, "--self-contained", help="Send the modelling code along: trust_remote_code=True runs it without hf-mtl."
    ),
    endpoint: bool = typer.Option(
        False, "--endpoint", help="Send handler.py and requirements.txt along, as Inference Endpoints read them."
    ),
    space: str | None = typer.Option(
        None, help="A Space to make besides, user/name: a page to try the model.", show_default=False
    ),
) -> None:
    """Upload a model with its tokenizer, card, training arguments and results, in one commit.

    What else lies in the folder stays there: checkpoints, logs, names of files and folders of this machine.
    """
    folder = Path(model).expanduser()
    if not folder.is_dir():
        raise UserError(f"model {model!r}: no such folder. A model that is to be pushed lies in one.")
    check_model(model)

    from hf_mtl.cli._model import load_model
    from hf_mtl.cli._terminal import quiet_libraries, stdout_console
    from hf_mtl.hub import push_saved, push_space

    with quiet_libraries():
        load_model(model)  # what does not answer here would not answer there
        commit = push_saved(
            folder,
            repo,
            private=private,
            revision=revision,
            message=message,
            self_contained=self_contained,
            endpoint=endpoint,
        )
        commits = [commit]
        if space is not None:
            with TemporaryDirectory() as files:
                commits.append(push_space(Path(files), space, commit.repo_url.repo_id, private=private))
    for one in commits:
        stdout_console().print(f"Pushed: {one.commit_url}", markup=False, soft_wrap=True)
