"""The recipe itself: prepared to datasets and tasks, built to a trainer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hf_mtl._names import listed, nearest
from hf_mtl.configuration import TaskConfig
from hf_mtl.data import LabelCounts, check_tasks_have_rows, infer_task, infer_type, stream_of, with_shared_labels
from hf_mtl.heads import head_class
from hf_mtl.model import make_adapter_config
from hf_mtl.recipe._continued import narrowed_options
from hf_mtl.recipe._load import LoadedDataset, load_source
from hf_mtl.recipe._metric_names import check_best_metric, metric_names
from hf_mtl.recipe._mistakes import RecipeError, blamed_on
from hf_mtl.recipe._prepared import BuiltRecipe, PreparedRecipe
from hf_mtl.recipe._read import ReadRecipe
from hf_mtl.recipe._rows import check_split, has_labels
from hf_mtl.recipe._split import hold_out, hold_out_first, without_columns
from hf_mtl.trainer import MultiTaskTrainingArguments, check_calibration, check_tuning

__all__ = ["Recipe"]

_USES = ("train", "validation", "test")


class Recipe(ReadRecipe):
    """What to train: an encoder, datasets, tasks, and how.

    Read one with `load` or `from_dict`. Nothing is loaded or written before `prepare`.

    >>> from datasets import Dataset
    >>> rows = {"review": ["good film", "bad film"] * 20, "label": ["positive", "negative"] * 20}
    >>> file = f"{folder}/reviews.parquet"
    >>> size = Dataset.from_dict(rows).to_parquet(file)
    >>> recipe = Recipe.from_dict(
    ...     {
    ...         "encoder": encoder,  # a Hub id or a folder
    ...         "datasets": {
    ...             "reviews": {
    ...                 "load": {"path": "parquet", "data_files": {"train": file}},
    ...                 "columns": {"review": "text", "label": "sentiment"},
    ...             }
    ...         },
    ...     }
    ... )
    >>> [task] = recipe.prepare().tasks
    >>> task.name, task.type, task.labels
    ('sentiment', 'sequence-classification', ('negative', 'positive'))
    """

    def check(self) -> dict[str, Any]:
        """Check what can be checked without data or encoder: see `RecipeKeys.check`.

        Raises:
            RecipeError: At the first mistake.
        """
        checked = super().check()
        if self.peft:
            with blamed_on("peft", ValueError, TypeError, ImportError):
                make_adapter_config(self.peft)
        return checked

    def prepare(self, keep: str | None = None) -> PreparedRecipe:
        """Load the datasets, infer the tasks, hold rows out where a split is missing, and check every row.

        Args:
            keep: A column of sources that is kept beside inputs and labels, where a source has it.

        Raises:
            RecipeError: At the first mistake.
        """
        args = self.training_arguments()
        encoder = self.encoder_source()
        given = self.given_tasks()
        with self.blamed():
            loaded = self._load(keep)
            kinds = {name: self._infer_type(name, given, loaded) for name in self._task_names()}
            splits = {name: self._split(name, data, kinds, args.seed, _USES) for name, data in loaded.items()}
            if self.only:
                splits, args = self._narrowed(splits, args)
            chosen = {name: kind for name, kind in kinds.items() if not self.only or name in self.only}
            tasks = [self._infer_task(name, given, kind, splits) for name, kind in chosen.items()]
            with blamed_on("tasks"):
                tasks = with_shared_labels(tasks, given)
            check_best_metric(args.metric_for_best_model, tasks)
            counts: dict[str, dict[str, dict[str, LabelCounts]]] = {}
            for name, by_split in splits.items():
                counts[name] = {}
                for use, data in by_split.items():
                    counts[name][use] = check_split(name, use, data, tasks, loaded[name])
                    if use == "train" and not any(found.labelled for found in counts[name][use].values()):
                        raise RecipeError(f"datasets.{name}", "no training row has a label.")
            frozen = (args.frozen_heads or ()) if args.unfreeze_at_step is None else ()
            with blamed_on("tasks"):
                check_tasks_have_rows(
                    tasks,
                    {name: found["train"] for name, found in counts.items()},
                    {},
                    {task.name for task in tasks}.difference(frozen),
                )
        by_use = {use: {name: by_split[use] for name, by_split in splits.items() if use in by_split} for use in _USES}
        scored = _scored(by_use, tasks)
        names = [t.name for t in tasks if any(has_labels(d, [t.name]) for d in scored["validation"].values())]
        if args.calibrate:
            with self.blamed(), blamed_on("training.calibrate"):
                check_calibration({task.name: head_class(task) for task in tasks}, tasks, names)
        if args.tune_thresholds != "none":
            with self.blamed(), blamed_on("training.tune_thresholds"):
                check_tuning(args.tune_thresholds, tasks, names)
        return PreparedRecipe(
            recipe=self, args=args, tasks=tasks, encoder=encoder, sources=loaded, label_counts=counts, **scored
        )

    def prepare_for(self, tasks: Sequence[TaskConfig], split: str) -> dict[str, Any]:
        """Load one split to score a trained model on: the model's tasks are the truth for labels and types.

        Args:
            tasks: The model's tasks.
            split: ``"train"``, ``"validation"`` or ``"test"``.

        Returns:
            The datasets that have such a split, by name.

        Raises:
            RecipeError: If a task is none of the model's, or a row does not fit.
        """
        names = [task.name for task in tasks]
        for name, dataset in self.datasets.items():
            for task in dataset.tasks():
                if task not in names and (not self.only or task in self.only):
                    with self.blamed():
                        raise RecipeError(
                            f"datasets.{name}.columns",
                            f"{task!r} is no task of the model.{nearest(task, names)} Its tasks: {listed(names)}.",
                        )
        if split == "train" and (streams := [name for name, source in self.datasets.items() if source.is_stream]):
            with self.blamed():
                raise RecipeError(
                    f"datasets.{streams[0]}",
                    "its training rows are a stream, which has no end that could be reached. Choose another split, or "
                    "load the dataset without streaming.",
                )
        seed = int(self._training.get("seed", MultiTaskTrainingArguments.seed))
        kinds = {task.name: {"type": task.type, "problem_type": task.problem_type} for task in tasks}
        with self.blamed():
            # Test rows are held out before validation rows, so each split is the one of the training.
            uses = ("train", "test") if split == "test" else _USES
            loaded = self._load()
            missing = [name for name in self._task_names() if name not in names]
            kinds |= {name: self._infer_type(name, self.tasks, loaded) for name in missing}
            splits = {name: self._split(name, data, kinds, seed, uses) for name, data in loaded.items()}
            chosen = {
                name: by_split[split].remove_columns([task for task in self.datasets[name].tasks() if task in missing])
                for name, by_split in splits.items()
                if split in by_split
            }
            for name, data in chosen.items():
                check_split(name, split, data, tasks, loaded[name])
            chosen = {name: data for name, data in chosen.items() if has_labels(data, names)}
            if not chosen:
                raise RecipeError("datasets", f"none has a {split} split with labels.")
        return chosen

    def build(self) -> BuiltRecipe:
        """Prepare, and put a model, its tokenizer and a trainer together.

        Raises:
            RecipeError: At the first mistake.
        """
        return self.prepare().build()

    def _task_names(self) -> list[str]:
        return list(dict.fromkeys(task for dataset in self.datasets.values() for task in dataset.tasks()))

    def _load(self, keep: str | None = None) -> dict[str, LoadedDataset]:
        return {name: load_source(name, source, self._folder, keep) for name, source in self.datasets.items()}

    def _narrowed(
        self, splits: Mapping[str, Mapping[str, Any]], args: MultiTaskTrainingArguments
    ) -> tuple[dict[str, dict[str, Any]], MultiTaskTrainingArguments]:
        """Return the rows with the columns of the tasks of ``only`` alone, and arguments without the other datasets.

        Rows are held out before: they are those of a training of all tasks.
        """
        kept: dict[str, dict[str, Any]] = {}
        for name, source in self.datasets.items():
            dropped = [task for task in source.tasks() if task not in self.only]
            if len(dropped) < len(source.tasks()):
                kept[name] = {use: without_columns(name, rows, dropped) for use, rows in splits[name].items()}
        gone = [name for name in self.datasets if name not in kept]
        options = {key: getattr(args, key) for key in ("sampling_options", "augmentation")}
        return kept, self.training_arguments(**{key: narrowed_options(value, gone) for key, value in options.items()})

    def _infer_type(self, name: str, given: Mapping[str, Any], loaded: Mapping[str, LoadedDataset]) -> dict[str, Any]:
        train = {key: data.splits["train"] for key, data in loaded.items() if name in data.splits["train"].column_names}
        with blamed_on(f"tasks.{name}"):
            return infer_type(name, given.get(name, {}), train)

    def _infer_task(
        self, name: str, given: Mapping[str, Any], kind: Mapping[str, Any], splits: Mapping[str, Mapping[str, Any]]
    ) -> TaskConfig:
        with blamed_on(f"tasks.{name}"):
            task = infer_task(name, given.get(name, {}), kind, _labelling(splits, name))
        metric_names(task)
        return task

    def _split(
        self, name: str, data: LoadedDataset, kinds: Mapping[str, Mapping[str, Any]], seed: int, uses: Sequence[str]
    ) -> dict[str, Any]:
        """Return the rows by use, held out where the source has no split."""
        source, by_split = self.datasets[name], dict(data.splits)
        single = [
            task
            for task in source.tasks()
            if kinds[task]["type"] in ("sequence-classification", "sentiment", "image-classification")
            and kinds[task].get("problem_type") != "multi_label_classification"
        ]
        for use in ("test", "validation"):
            size = source.held_out(use)
            if use in uses and use not in by_split and size:
                rows = by_split["train"]
                if stream_of(rows) is not None:
                    by_split["train"], by_split[use] = hold_out_first(rows, int(size), name=name, use=use)
                else:
                    by_split["train"], by_split[use] = hold_out(rows, size, seed, single, name=name, use=use)
        return by_split


def _labelling(splits: Mapping[str, Mapping[str, Any]], task: str) -> dict[str, Mapping[str, Any]]:
    return {name: by_split for name, by_split in splits.items() if task in by_split["train"].column_names}


def _scored(by_use: dict[str, dict[str, Any]], tasks: Sequence[TaskConfig]) -> dict[str, dict[str, Any]]:
    """Leave out validation and test rows without any label: there is nothing to score."""
    names = [task.name for task in tasks]
    return {
        use: {name: data for name, data in by_split.items() if use == "train" or has_labels(data, names)}
        for use, by_split in by_use.items()
    }
