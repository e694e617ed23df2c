"""A recipe as it is read: checked, with its arguments and where its encoder is; no data yet."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import PrivateAttr, ValidationError

from hf_mtl.arguments import check_arguments
from hf_mtl.recipe._keys import as_recipe_error
from hf_mtl.recipe._mistakes import RecipeError, blamed_on, sourced
from hf_mtl.recipe._paths import encoder_path, existing_files, load_arguments, methods_with_paths
from hf_mtl.recipe._schema import RecipeKeys
from hf_mtl.recipe._training import changed_arguments, make_arguments
from hf_mtl.recipe._yaml import apply_overrides, read_yaml
from hf_mtl_light.errors import UserError

if TYPE_CHECKING:
    from typing_extensions import Self

    from hf_mtl.recipe._processors import Processors
    from hf_mtl.trainer import MultiTaskTrainingArguments

__all__ = ["ReadRecipe"]

#: What a copy may have in place of the recipe's: no argument follows from it.
_COPIED = {"datasets", "tasks", "branches", "only"}


class ReadRecipe(RecipeKeys):
    """What a recipe holds, and in which file."""

    _source: str = PrivateAttr(default="")
    _folder: Path = PrivateAttr(default=Path())
    _stem: str = PrivateAttr(default="recipe")
    _overridden: tuple[str, ...] = PrivateAttr(default=())
    _training: dict[str, Any] = PrivateAttr(default_factory=dict)
    _arguments: MultiTaskTrainingArguments | None = PrivateAttr(default=None)

    @classmethod
    def load(cls, path: str | Path, overrides: Sequence[str] = ()) -> Self:
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
    def from_dict(cls, values: Mapping[str, Any], folder: str | Path = ".") -> Self:
        """Read a recipe from a mapping; relative files count from the current directory, or else from ``folder``.

        Raises:
            RecipeError: At the first mistake.

        >>> from hf_mtl.recipe import Recipe
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
    def of(cls, recipe: Self | str | Path | Mapping[str, Any]) -> Self:
        """Return a recipe as it is, or read it from its file or its values.

        Raises:
            RecipeError: At the first mistake.
        """
        if isinstance(recipe, Mapping):
            return cls.from_dict(recipe)
        return cls.load(recipe) if isinstance(recipe, (str, Path)) else recipe

    @classmethod
    def _checked(
        cls, values: Mapping[str, Any], *, source: str, folder: Path, stem: str, overridden: Sequence[str]
    ) -> Self:
        try:
            recipe = cls.model_validate(dict(values))
            recipe._training = recipe.check()
            if isinstance(pictures := recipe._training.get("card_pictures"), list):
                recipe._training["card_pictures"] = existing_files(pictures, folder, "training.card_pictures")
            if recipe.methods:
                recipe._training["methods"] = methods_with_paths(recipe.methods, folder)
        except ValidationError as error:
            raise sourced(as_recipe_error(error), source, overridden) from None
        except RecipeError as error:
            raise sourced(error, source, overridden) from error.__cause__
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
            raise (sourced(error, self._source, self._overridden) if error.where else error) from error.__cause__

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return a copy with other datasets, tasks or branches, which are not checked.

        Raises:
            ValueError: If another value is given: arguments were read from those, and would stay as they are.
        """
        if wrong := sorted({*(update or {})} - _COPIED):
            raise UserError(
                f"A copy of a recipe cannot have another {wrong[0]!r}: it was read and checked before. Change the "
                "values, and read them with Recipe.from_dict."
            )
        return super().model_copy(update=update, deep=deep)

    def training_arguments(self, **changes: Any) -> MultiTaskTrainingArguments:
        """Return the arguments of the training.

        Args:
            changes: Fields in place of the recipe's.

        Raises:
            RecipeError: If Transformers takes one for wrong.
        """
        if changes or self._arguments is None:
            with self.blamed():
                args = make_arguments(changed_arguments(self._training, changes), str(self.run_folder))
            if changes:
                return args
            self._arguments = args
        return self._arguments

    @property
    def run_folder(self) -> Path:
        """The folder that a training writes to."""
        return Path(self._training.get("output_dir") or f"runs/{self._stem}")

    def check_early(self, *, trains: bool = True) -> None:
        """Check what else can be known without torch: values of arguments, and whether files exist.

        The rest of a command checks the same again, and all else.

        Args:
            trains: Whether the recipe is trained: else its data are read, and not its encoder.

        Raises:
            RecipeError: At the first mistake.
        """
        with self.blamed(), blamed_on("training", ValueError, TypeError, KeyError, ImportError):
            check_arguments(self._training)
        if trains:
            self.encoder_source()
        with self.blamed():
            for name, source in self.datasets.items():
                load_arguments(source.load, self._folder, f"datasets.{name}.load")

    def load_processors(self) -> Processors:
        """Load the tokenizer of the encoder and, where pictures are read, the image processor.

        Raises:
            RecipeError: If an encoder is not found.
        """
        from hf_mtl.recipe._processors import load_processors

        path, options = self.encoder_source()
        options = {key: value for key, value in options.items() if key == "revision"}
        if isinstance(path, dict):
            places = {f"encoders.{name}": one for name, one in path.items()}
        else:
            places = {"encoder" if self.model is None else "model": path}
        with self.blamed():
            return load_processors(places, options, self.image_size)

    def encoder_source(self) -> tuple[str | dict[str, str], dict[str, Any]]:
        """Return the folder or Hub id of the encoder, or of the model in its place, and the arguments of loading it.

        Of several encoders a mapping, by what they read.
        """
        path: str | dict[str, str]
        with self.blamed():
            if self.model is not None:
                path = encoder_path(self.model, self._folder, "model")
            elif self.encoders:
                path = {
                    name: encoder_path(one, self._folder, f"encoders.{name}") for name, one in self.encoders.items()
                }
            else:
                path = encoder_path(self.encoder or "", self._folder)
        return path, self.encoder_kwargs.model_dump(exclude_none=True)

    def given_tasks(self) -> dict[str, dict[str, Any]]:
        """Return the fields of tasks that are known without data: the recipe's, or those of the model it begins with.

        Raises:
            RecipeError: If the model lacks a task of the datasets, or has another one of its name.
        """
        if self.model is None:
            return self.tasks
        from hf_mtl.recipe._continued import fields_of_model, model_config

        names = dict.fromkeys(task for dataset in self.datasets.values() for task in dataset.tasks())
        path = encoder_path(self.model, self._folder, "model")
        with self.blamed():
            chosen = [name for name in names if not self.only or name in self.only]
            known = fields_of_model(model_config(path), chosen, self.tasks, self.branches)
        return {**self.tasks, **known}
