"""A folder to the Hub: in one commit, with patience, and with errors that say what to do."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypeVar

from huggingface_hub import CommitInfo, CommitOperationAdd, CommitOperationDelete, HfApi
from huggingface_hub.errors import HfHubHTTPError, RevisionNotFoundError

__all__ = ["create_repo", "push_folder"]

Result = TypeVar("Result")
RepoKind: TypeAlias = Literal["model", "space"]

#: What every failed request of the client is, with an answer or without one.
_HTTP_ERROR: type[Exception] = HfHubHTTPError.__bases__[0]
#: Seconds between attempts, where the Hub names none.
_WAITS = (0.5, 1.0, 2.0)
_LONGEST_WAIT = 60.0
#: Requests that the client itself sends but once.
_SENT_ONCE = ("/api/repos/create", "/api/validate-yaml", "/commit/", "/branch/")
#: Files of an earlier push that would be read along with those of a new one.
_REPLACED = ("model*.safetensors", "model.safetensors.index.json", "pytorch_model*.bin", "hf_mtl_*.py", "adapter_*")


def create_repo(
    repo_id: str, *, private: bool | None = None, token: str | bool | None = None, kind: RepoKind = "model"
) -> str:
    """Make a repository if there is none, and return its full name.

    Args:
        repo_id: ``user/name``, or ``name`` in one's own namespace.
        private: Whether a new one is private; ``None``: as the account has it.
        token: The token; ``None`` is the one that ``hf auth login`` stored.
        kind: Of a model, or a Space with Gradio.

    Raises:
        OSError: If the Hub refuses.
    """
    how: dict[str, Any] = {"repo_type": kind, **({"space_sdk": "gradio"} if kind == "space" else {})}
    with _explained(repo_id):
        url = _patiently(lambda: HfApi().create_repo(repo_id, private=private, token=token, exist_ok=True, **how))
    return str(url.repo_id)


def push_folder(
    folder: str | Path,
    repo_id: str,
    *,
    revision: str | None = None,
    token: str | bool | None = None,
    message: str = "Upload model",
    description: str | None = None,
    create_pr: bool = False,
    kind: RepoKind = "model",
) -> CommitInfo:
    """Upload all files of a folder to an existing repository, in one commit.

    Weights and code of an earlier push that the folder does not hold are removed by the same commit: a loader would
    read them along. A push that is repeated sends nothing twice.

    Args:
        folder: The folder; hidden files and those of hidden folders are left out.
        repo_id: ``user/name``.
        revision: A branch, made if there is none; ``None`` is the main one.
        token: The token; ``None`` is the one that ``hf auth login`` stored.
        message: The commit's first line.
        description: The commit's further text.
        create_pr: Whether to open a pull request instead.
        kind: Of what the repository is.

    Raises:
        OSError: If the Hub refuses, or the connection stays broken. The repository is then as it was.
        ValueError: If the Hub finds the card's metadata wrong.
    """
    folder, api = Path(folder), HfApi()
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    names = [path.relative_to(folder).as_posix() for path in paths]
    files = {name: path for name, path in zip(names, paths, strict=True) if not f"/{name}".count("/.")}

    def commit() -> CommitInfo:
        there = api.list_repo_files(repo_id, revision=revision, token=token, repo_type=kind)
        stale = [name for name in there if name not in files and any(fnmatch(name, p) for p in _REPLACED)]
        # Made again for each attempt: an operation remembers that it was committed.
        operations: list[CommitOperationAdd | CommitOperationDelete] = []
        operations += [CommitOperationAdd(path_in_repo=name, path_or_fileobj=str(p)) for name, p in files.items()]
        operations += [CommitOperationDelete(path_in_repo=name) for name in stale]
        return api.create_commit(
            repo_id,
            operations,
            commit_message=message,
            commit_description=description,
            token=token,
            revision=revision,
            create_pr=create_pr,
            repo_type=kind,
        )

    with _explained(repo_id):
        if revision is not None and not revision.startswith("refs/pr/") and not create_pr:
            _patiently(lambda: _ensure_branch(api, repo_id, revision, token))
        return _patiently(commit)


def _ensure_branch(api: HfApi, repo_id: str, branch: str, token: str | bool | None) -> None:
    try:
        api.model_info(repo_id, revision=branch, token=token)
    except RevisionNotFoundError:
        api.create_branch(repo_id, branch=branch, token=token, exist_ok=True)


def _patiently(call: Callable[[], Result]) -> Result:
    """Call again after errors that pass, where the client does not do so itself."""
    for wait in _WAITS:
        try:
            return call()
        except _HTTP_ERROR as error:  # noqa: PERF203  # each attempt by itself
            seconds = _wait_after(error, wait)
            if seconds is None:
                raise
            time.sleep(seconds)
    return call()


def _wait_after(error: Exception, wait: float) -> float | None:
    """Return the seconds after which another attempt makes sense, ``None`` if none does."""
    response: Any = getattr(error, "response", None)
    # With an answer, the error itself has forgotten its request.
    asked_by: Any = error if response is None else response
    try:
        url = str(asked_by.request.url)
    except RuntimeError:  # the HTTP library's way to say that there is no request
        return None
    if not any(fragment in url for fragment in _SENT_ONCE):
        return None
    if response is None:
        return wait
    if response.status_code not in (429, 500, 502, 503, 504):
        return None
    asked = response.headers.get("Retry-After", "")
    seconds = float(asked) if asked.isdigit() else wait
    return seconds if seconds <= _LONGEST_WAIT else None


@contextmanager
def _explained(repo_id: str) -> Iterator[None]:
    """Turn the client's errors into one that says what to do.

    Raises:
        OSError: With the reason.
    """
    try:
        yield
    except (_HTTP_ERROR, RuntimeError) as error:
        # Uploads of large files wrap the reason.
        cause = error.__cause__ if isinstance(error, RuntimeError) and error.__cause__ is not None else error
        if isinstance(error, RuntimeError) and not isinstance(cause, _HTTP_ERROR):
            raise
        status = getattr(getattr(cause, "response", None), "status_code", None)
        reason = " ".join((getattr(cause, "server_message", None) or str(cause) or type(cause).__name__).split())
        if status in (401, 403):
            raise PermissionError(
                f"The Hub refused the push to {repo_id!r} ({status}: {reason}). Log in with a token that may write "
                "there: hf auth login, or HF_TOKEN, or token=."
            ) from error
        if status == 404:
            raise FileNotFoundError(f"The Hub does not know {repo_id!r}, or not for this token ({reason}).") from error
        if status == 429:
            asked = cause.response.headers.get("Retry-After")  # type: ignore[attr-defined]  # it has a status
            after = f"after {asked} seconds" if asked else "later"
            raise OSError(
                f"The push to {repo_id!r} was put off (429: too many requests). Push again {after}."
            ) from error
        what = f"{status}: {reason}" if status else reason
        raise OSError(
            f"The push to {repo_id!r} failed ({what}). A push is one commit: what the repository held is still whole. "
            "Push again; what has arrived is not sent twice."
        ) from error
