"""The recipe itself: read from a file, prepared to datasets and tasks, built to a trainer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import PrivateAttr, ValidationError
from transformers import AutoConfig, AutoTokenizer, PreTrainedTokenizerBase

from hf_mtl._names import listed, nearest
from hf_mtl.configuration import TaskConfig
from hf_mtl.recipe._load import LoadedDataset, load_source
from hf_mtl.recipe._metric_names import check_best_metric
from hf_mtl.recipe._mistakes import RecipeError, blamed_on
from hf_mtl.recipe._paths import encoder_path
from hf_mtl.recipe._prepared import BuiltRecipe, PreparedRecipe
from hf_mtl.recipe._rows import check_rows, has_labels
from hf_mtl.recipe._schema import RecipeKeys, as_recipe_error
from hf_mtl.recipe._split import hold_out
from hf_mtl.recipe._tasks import infer_task, infer_type, with_shared_labels
from hf_mtl.recipe._training import make_arguments
from hf_mtl.recipe._yaml import apply_overrides, read_yaml
from hf_mtl.trainer import check_tuning
from hf_mtl.training_args import MultiTaskTrainingArguments

__all__ = ["Recipe"]

_USES = ("train", "validation", "test")


class Recipe(RecipeKeys):
    """What to train: an encoder, datasets, tasks, and how.

    Read one with `load` or `from_dict`. Nothing is loaded or written before `prepare`.
    """

    _source: str = PrivateAttr(default="")
    _folder: Path = PrivateAttr(default=Path())
    _stem: str = PrivateAttr(default="recipe")
    _overridden: tuple[str, ...] = PrivateAttr(default=())
    _training: dict[str, Any] = PrivateAttr(default_factory=dict)
    _arguments: MultiTaskTrainingArguments | None = PrivateAttr(default=None)

    @classmethod
    def load(cls, path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
        """Read a recipe from a YAML file.

        Args:
            path: The file. Relative files in it count from the current directory, or else from the file's folder.
            overrides: Each ``dotted.key=value``, such as ``training.learning_rate=1e-4``.

        Raises:
            RecipeError: At the first mistake.
        """
        path = Path(path)
        try:
            values = apply_overrides(read_yaml(path), overrides)
        except RecipeError as error:
            error.source = error.source or str(path)
            raise
        # The recipe that a run folder holds is named after the run.
        stem = path.parent.resolve().name if path.stem == "recipe" else path.stem
        return cls._checked(values, source=str(path), folder=path.parent, stem=stem, overridden=overrides)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], folder: str | Path = ".") -> Recipe:
        """Read a recipe from a mapping; relative files count from the current directory, or else from ``folder``.

        Raises:
            RecipeError: At the first mistake.

        >>> recipe = Recipe.from_dict(
        ...     {
        ...         "encoder": "google-bert/bert-base-uncased",
        ...         "datasets": {"sst2": {"load": {"path": "stanfordnlp/sst2"}, "columns": {"sentence": "text"}}},
        ...     }
        ... )
        Traceback (most recent call last):
        ...
        hf_mtl.recipe...RecipeError: datasets.sst2.columns: no task. Map the column of the labels to the name of a task.
        """
        return cls._checked(values, source="", folder=Path(folder), stem="recipe", overridden=())

    @classmethod
    def _checked(
        cls, values: Mapping[str, Any], *, source: str, folder: Path, stem: str, overridden: Sequence[str]
    ) -> Recipe:
        try:
            recipe = cls.model_validate(dict(values))
            recipe._training = recipe.check()
        except ValidationError as error:
            raise _sourced(as_recipe_error(error), source, overridden) from None
        except RecipeError as error:
            raise _sourced(error, source, overridden) from error.__cause__
        recipe._source, recipe._folder, recipe._stem = source, folder, stem
        recipe._overridden = tuple(overridden)
        return recipe

    @contextmanager
    def blamed(self) -> Iterator[None]:
        """Name this recipe as the source of mistakes found with its data."""
        try:
            yield
        except RecipeError as error:
            # A mistake in a row is the data's own: the message names dataset and row.
            raise (_sourced(error, self._source, self._overridden) if error.where else error) from error.__cause__

    def training_arguments(self, **changes: Any) -> MultiTaskTrainingArguments:
        """Return the arguments of the training.

        Args:
            changes: Fields in place of the recipe's.

        Raises:
            RecipeError: If Transformers takes one for wrong.
        """
        if changes or self._arguments is None:
            with self.blamed():
                args = make_arguments({**self._training, **changes}, self.sampling_fields(), f"runs/{self._stem}")
            if changes:
                return args
            self._arguments = args
        return self._arguments

    def load_tokenizer(self) -> PreTrainedTokenizerBase:
        """Load the encoder's tokenizer, and its config to see that it is there.

        Raises:
            RecipeError: If the encoder is not found.
        """
        path, options = self.encoder_source()
        options = {key: value for key, value in options.items() if key == "revision"}
        with self.blamed(), blamed_on("encoder", OSError, ValueError, KeyError, ImportError):
            AutoConfig.from_pretrained(path, **options)
            tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(path, **options)
            # Without files Transformers makes a tokenizer that knows nothing, and all words are unknown.
            if len(tokenizer) <= len(tokenizer.all_special_tokens):
                raise ValueError(f"{path!r} holds no tokenizer. Save the encoder's own beside it.")
        return tokenizer

    def encoder_source(self) -> tuple[str, dict[str, Any]]:
        """Return the encoder's folder or Hub id and the arguments it is loaded with."""
        with self.blamed():
            path = encoder_path(self.encoder, self._folder)
        return path, self.encoder_kwargs.model_dump(exclude_none=True)

    def prepare(self) -> PreparedRecipe:
        """Load the datasets, infer the tasks, hold rows out where a split is missing, and check every row.

        Raises:
            RecipeError: At the first mistake.
        """
        args = self.training_arguments()
        encoder = self.encoder_source()
        with self.blamed():
            loaded = self._load()
            kinds = {name: self._infer_type(name, loaded) for name in self._task_names()}
            splits = {name: self._split(name, data, kinds, args.seed, _USES) for name, data in loaded.items()}
            tasks = [
                infer_task(name, self.tasks.get(name, {}), kind, _labelling(splits, name))
                for name, kind in kinds.items()
            ]
            tasks = with_shared_labels(tasks, self.tasks)
            check_best_metric(args.metric_for_best_model, tasks)
            for name, parts in splits.items():
                for use, data in parts.items():
                    check_rows(name, use, data, tasks)
                    if use == "train" and not has_labels(data, [task.name for task in tasks]):
                        raise RecipeError(f"datasets.{name}", "no training row has a label.")
        by_use = {use: {name: parts[use] for name, parts in splits.items() if use in parts} for use in _USES}
        scored = _scored(by_use, tasks)
        if args.tune_thresholds != "none":
            names = [t.name for t in tasks if any(has_labels(d, [t.name]) for d in scored["validation"].values())]
            with self.blamed(), blamed_on("training.tune_thresholds"):
                check_tuning(args.tune_thresholds, tasks, names)
        return PreparedRecipe(recipe=self, args=args, tasks=tasks, encoder=encoder, sources=loaded, **scored)

    def prepare_for(self, tasks: Sequence[TaskConfig], split: str) -> dict[str, Any]:
        """Load one split to score a trained model on: the model's tasks are the truth for labels and types.

        Args:
            tasks: The model's tasks.
            split: ``"validation"`` or ``"test"``.

        Returns:
            The datasets that have such a split, by name.

        Raises:
            RecipeError: If a task is none of the model's, or a row does not fit.
        """
        names = [task.name for task in tasks]
        for name, dataset in self.datasets.items():
            for task in dataset.tasks():
                if task not in names:
                    raise _sourced(
                        RecipeError(
                            f"datasets.{name}.columns",
                            f"{task!r} is no task of the model.{nearest(task, names)} Its tasks: {listed(names)}.",
                        ),
                        self._source,
                        self._overridden,
                    )
        seed = int(self._training.get("seed", MultiTaskTrainingArguments.seed))
        kinds = {task.name: {"type": task.type, "problem_type": task.problem_type} for task in tasks}
        with self.blamed():
            # Test rows are held out before validation rows, so each split is the one of the training.
            uses = _USES if split == "validation" else ("train", "test")
            splits = {name: self._split(name, data, kinds, seed, uses) for name, data in self._load().items()}
            chosen = {name: parts[split] for name, parts in splits.items() if split in parts}
            for name, data in chosen.items():
                check_rows(name, split, data, tasks)
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

    def _load(self) -> dict[str, LoadedDataset]:
        return {name: load_source(name, source, self._folder) for name, source in self.datasets.items()}

    def _infer_type(self, name: str, loaded: Mapping[str, LoadedDataset]) -> dict[str, Any]:
        train = {key: data.splits["train"] for key, data in loaded.items() if name in data.splits["train"].column_names}
        return infer_type(name, self.tasks.get(name, {}), train)

    def _split(
        self, name: str, data: LoadedDataset, kinds: Mapping[str, Mapping[str, Any]], seed: int, uses: Sequence[str]
    ) -> dict[str, Any]:
        """Return the rows by use, held out where the source has no split."""
        source, parts = self.datasets[name], dict(data.splits)
        single = [
            task
            for task in source.tasks()
            if kinds[task]["type"] in ("sequence-classification", "sentiment")
            and kinds[task].get("problem_type") != "multi_label_classification"
        ]
        for use, size in (("test", source.test_size), ("validation", source.validation_size)):
            if use in uses and use not in parts and size:
                parts["train"], parts[use] = hold_out(parts["train"], size, seed, single, name=name, use=use)
        return parts


def _labelling(splits: Mapping[str, Mapping[str, Any]], task: str) -> dict[str, Mapping[str, Any]]:
    return {name: parts for name, parts in splits.items() if task in parts["train"].column_names}


def _scored(by_use: dict[str, dict[str, Any]], tasks: Sequence[TaskConfig]) -> dict[str, dict[str, Any]]:
    """Leave out validation and test rows without any label: there is nothing to score."""
    names = [task.name for task in tasks]
    return {
        use: {name: data for name, data in parts.items() if use == "train" or has_labels(data, names)}
        for use, parts in by_use.items()
    }


def _sourced(error: RecipeError, source: str, overridden: Sequence[str]) -> RecipeError:
    """Name the file, or the override, that a mistake stands in."""
    for override in overridden:
        key = override.partition("=")[0]
        if error.where == key or error.where.startswith(f"{key}."):
            return RecipeError(error.where, error.message, f"override {override!r}")
    error.source = error.source or source
    return error
