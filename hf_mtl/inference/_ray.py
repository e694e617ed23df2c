"""Answers on a cluster: models in actors of Ray, which each load one."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from transformers import AutoImageProcessor, AutoTokenizer

from hf_mtl.inference._predict import make_answerer
from hf_mtl.model import MultiTaskModel
from hf_mtl_light.encoding import Row, RowError, as_row
from hf_mtl_light.errors import MissingExtraError, UserError
from hf_mtl_light.inference import LOOK_AHEAD, Answerer

__all__ = ["AnsweredRows", "FolderAnswerer", "RayAnswerers", "answered_rows", "ray_predict"]


#: Answers, the positions of the rows that they are of, and what is wrong with the others.
AnsweredRows: TypeAlias = tuple[list[dict[str, Any]], list[int], list[str]]


class FolderAnswerer:
    """Answers rows with a model that it loads, so that it can be made in another process.

    Args:
        model: The model's folder, or its id on the Hub.
        asked: Arguments of `hf_mtl.inference.make_answerer`: ``tasks``, ``options``, ``stride`` and others.
    """

    def __init__(self, model: str, asked: Mapping[str, Any]) -> None:
        loaded = MultiTaskModel.from_pretrained(model)
        tokenizer = AutoTokenizer.from_pretrained(model) if "text" in loaded.encoders else None
        processor = AutoImageProcessor.from_pretrained(model) if "image" in loaded.encoders else None
        self.answerer = make_answerer(loaded, tokenizer, image_processor=processor, **asked)

    def answer(self, rows: Sequence[Row], skips: bool) -> AnsweredRows | str:
        """Return answers, see `answered_rows`; or what is wrong with a row that is not to be left out."""
        try:
            return answered_rows(self.answerer, rows, skips)
        except RowError as error:  # cannot be sent as it is
            return str(error)

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, list[Any]]:
        """Answer a batch of Ray Data: its columns, and for each task one of answers as JSON."""
        columns = {name: list(values) for name, values in batch.items()}
        rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
        read = [as_row({k: _plain(v) for k, v in row.items()}, number, "batch") for number, row in enumerate(rows, 1)]
        found, _, _ = answered_rows(self.answerer, read, skips=False)
        for name in self.answerer.names:
            columns[name] = [json.dumps(answer[name], ensure_ascii=False) for answer in found]
        return columns


def _plain(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else value


def answered_rows(answerer: Answerer, rows: Sequence[Row], skips: bool) -> AnsweredRows:
    """Answer rows together.

    Args:
        answerer: The answerer.
        rows: The rows.
        skips: Whether rows that the model cannot take in are left out.

    Returns:
        Answers, the positions of the rows that they are of, and what is wrong with the others.

    Raises:
        ValueError: If a row cannot be taken in, and is not to be left out.
    """
    kept = list(range(len(rows)))
    wrong: list[str] = []
    while True:
        try:
            return list(answerer.answer([rows[position] for position in kept])), kept, wrong
        except RowError as error:  # noqa: PERF203  # a turn of the loop is 512 rows
            if not skips:
                raise
            wrong.append(str(error))
            kept = [position for position in kept if rows[position].index != error.row.index]


class RayAnswerers:
    """Answerers in actors of a cluster of Ray, which take turns.

    Args:
        model: The model's folder, which all machines see, or its id on the Hub.
        asked: Arguments of `hf_mtl.inference.make_answerer`.
        actors: How many; ``None``: one for each CPU of the cluster.

    Raises:
        ImportError: If Ray is not installed.
        ValueError: If Ray cannot be started.
    """

    def __init__(self, model: str, asked: Mapping[str, Any], actors: int | None = None) -> None:
        ray = _ray()
        if not ray.is_initialized():
            _start(ray)
        from ray.util import ActorPool

        count = actors or max(1, int(ray.cluster_resources().get("CPU", 1)))
        remote = ray.remote(FolderAnswerer)
        self._count = count
        self._pool = ActorPool([remote.remote(model, dict(asked)) for _ in range(count)])

    def answered(self, batches: Iterator[Sequence[Row]], skips: bool) -> Iterator[AnsweredRows]:
        """Yield for each batch what `answered_rows` returns, in the order of the batches.

        Two batches an actor are read ahead. If reading fails, the batches before are yielded first.

        Raises:
            ValueError: If a row cannot be taken in, and is not to be left out.
        """
        failed: BaseException | None = None
        waiting = 0
        while True:
            while failed is None and waiting < 2 * self._count:
                try:
                    batch = next(batches)
                except StopIteration:
                    break
                except Exception as error:
                    failed = error
                    break
                self._pool.submit(lambda actor, rows: actor.answer.remote(rows, skips), list(batch))
                waiting += 1
            if not waiting:
                break
            found = self._pool.get_next()
            waiting -= 1
            if isinstance(found, str):
                raise UserError(found)
            yield found
        if failed is not None:
            raise failed


def ray_predict(
    model: str, dataset: Any, *, actors: int | tuple[int, int] = 1, batch_size: int = LOOK_AHEAD, **asked: Any
) -> Any:
    """Answer every row of a dataset of Ray Data, on its cluster.

    Args:
        model: The model's folder, which all machines see, or its id on the Hub.
        dataset: A ``ray.data.Dataset`` whose columns are inputs, ``text`` and others; or anything that
            ``ray.data.from_items`` takes.
        actors: How many actors, each with its own model; or the least and the most.
        batch_size: Rows that are answered together.
        asked: Arguments of `hf_mtl.inference.make_answerer`: ``tasks``, ``options``, ``stride`` and others.

    Returns:
        A ``ray.data.Dataset``, computed when it is read: the columns, and for each task one of answers as JSON. Its
        rows come in order where ``ray.data.DataContext.get_current().execution_options.preserve_order`` is set.

    Raises:
        ImportError: If Ray is not installed.
    """
    _ray()
    import ray.data

    given = dataset if isinstance(dataset, ray.data.Dataset) else ray.data.from_items(list(dataset))
    return given.map_batches(
        FolderAnswerer, fn_constructor_args=(model, asked), batch_size=batch_size, concurrency=actors
    )


def _start(ray: Any) -> None:
    try:
        ray.init(include_dashboard=False, log_to_driver=False, logging_level="error")
    except Exception as error:  # Ray raises plain exceptions
        raise UserError(
            f"Ray could not be started, nothing was answered: {error} Where starting takes longer than Ray waits, "
            "start it first (ray start --head), and run the same command with RAY_ADDRESS=auto."
        ) from error


def _ray() -> Any:
    try:
        import ray
    except ImportError as error:
        raise MissingExtraError("This needs Ray: pip install 'hf-mtl[ray]'.") from error
    return ray
