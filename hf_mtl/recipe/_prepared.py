"""A recipe with its data: what will be trained on what, before any weight is loaded; and then the trainer."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets import Dataset
from transformers import AutoConfig, PreTrainedTokenizerBase, TrainerCallback, set_seed

from hf_mtl.augmentation import make_augmentations
from hf_mtl.configuration import MultiTaskConfig, TaskConfig
from hf_mtl.data import DataLook, LabelCounts, LabelledDataset, longest_input, look_at, stream_of
from hf_mtl.heads import Head, head_class
from hf_mtl.model import MultiTaskModel
from hf_mtl.model_card import public_name
from hf_mtl.recipe._load import LoadedDataset
from hf_mtl.recipe._mistakes import blamed_on
from hf_mtl.recipe._paths import portable, portable_load
from hf_mtl.recipe._read import ReadRecipe
from hf_mtl.recipe._yaml import dump_yaml
from hf_mtl.samplers.plan import Plan, make_plan
from hf_mtl.trainer import (
    MultiTaskTrainer,
    MultiTaskTrainingArguments,
    describe_strategies,
    rows_drawn,
    warn_of_texts,
)
from hf_mtl.training_methods import make_methods
from hf_mtl_light.errors import UserError
from hf_mtl_light.outputs import write_text_whole
from hf_mtl_light.text import redacted

__all__ = ["RECIPE", "BuiltRecipe", "PreparedRecipe"]

#: The file of a run folder that holds its recipe, with everything inferred.
RECIPE = "recipe.yaml"


@dataclass(frozen=True)
class BuiltRecipe:
    """All that a training needs."""

    prepared: PreparedRecipe
    model: MultiTaskModel
    tokenizer: PreTrainedTokenizerBase | None
    trainer: MultiTaskTrainer

    def train(self, resume: bool = False) -> dict[str, dict[str, Any]]:
        """Train, save, score, and write what Transformers' own scripts write into the run folder.

        Args:
            resume: Whether to continue from the folder's last checkpoint.

        Returns:
            The metrics on the ``"validation"`` and on the ``"test"`` rows, where there are some.
        """
        trainer, prepared = self.trainer, self.prepared
        result = trainer.train(resume_from_checkpoint=True if resume else None)
        trainer.save_model()
        trainer.save_state()
        found: dict[str, dict[str, Any]] = {}
        counted = {} if prepared.streams else {"train_samples": _rows(prepared.train)}
        trainer.save_metrics("train", {**result.metrics, **counted})
        if prepared.validation:
            found["validation"] = trainer.evaluate()
            trainer.save_metrics("eval", {**found["validation"], "eval_samples": _rows(prepared.validation)})
        if prepared.test:
            found["test"] = trainer.evaluate(prepared.test, metric_key_prefix="test")
            trainer.save_metrics("test", {**found["test"], "test_samples": _rows(prepared.test)})
        trainer.create_model_card(dataset_ids=prepared.hub_ids())
        return found


def _portable_start(key: str, start: str | dict[str, str], folder: Path) -> dict[str, Any]:
    """Return the key that says what a training starts from, and its value."""
    if isinstance(start, dict):
        return {"encoders": {name: portable(path, folder) for name, path in start.items()}}
    return {key: portable(start, folder)}


def _rows(data: dict[str, Any]) -> int:
    return sum(len(dataset) for dataset in data.values())


@dataclass(frozen=True)
class PreparedRecipe:
    """Tasks and datasets of a recipe, checked to the last row.

    Args:
        recipe: The recipe.
        args: The training arguments.
        tasks: The tasks, with everything that was inferred.
        encoder: The folder or Hub id of the encoder, or of the model in its place, and the arguments of loading it; of
            several encoders a mapping.
        sources: Where each dataset came from.
        train: Training rows by dataset, columns named after inputs and tasks; of a stream the first ones.
        validation: Validation rows of the datasets that have some.
        test: Test rows of the datasets that have some with labels.
        label_counts: For each dataset and use what its rows say of each task.
    """

    recipe: ReadRecipe
    args: MultiTaskTrainingArguments
    tasks: list[TaskConfig]
    encoder: tuple[str | dict[str, str], dict[str, Any]]
    sources: dict[str, LoadedDataset]
    train: dict[str, Dataset]
    validation: dict[str, Dataset]
    test: dict[str, Dataset]
    label_counts: dict[str, dict[str, dict[str, LabelCounts]]]

    @property
    def streams(self) -> list[str]:
        """The datasets whose training rows are read as they come."""
        return [name for name, data in self.train.items() if stream_of(data) is not None]

    def refuse_streams(self, what: str) -> None:
        """Refuse datasets whose training rows have no numbers.

        Args:
            what: What needs them: ``"Cross-validation"``.

        Raises:
            ValueError: If there are any.
        """
        if self.streams:
            raise UserError(
                f"{what} asks for training rows by their number, which the stream {self.streams[0]!r} cannot give. "
                "Load the dataset without streaming, or a part of it."
            )

    def summary(self) -> list[dict[str, Any]]:
        """Return for each dataset its rows by use, its shares when training begins and ends, and its tasks.

        Rows of a stream are not counted: ``None``.
        """
        shares, streams = self._plan(self.args).first_and_last_shares(), self.streams
        return [
            {
                "dataset": name,
                "rows": {
                    use: None if use == "train" and name in streams else len(getattr(self, use).get(name, ()))
                    for use in ("train", "validation", "test")
                },
                "share": first,
                "last_share": last,
                "tasks": [task for task in self.tasks if task.name in self.train[name].column_names],
                "unlabelled": self._unlabelled(name),
            }
            for name, (first, last) in zip(self.train, shares, strict=True)
        ]

    def steps(self, args: MultiTaskTrainingArguments | None = None) -> int:
        """Return the optimizer steps of the training, by its own arguments or by others."""
        args = args or self.args
        if args.max_steps > 0:
            return args.max_steps
        # The plan's own: where steps are of one dataset, the last of each may be short.
        return math.ceil(args.num_train_epochs * math.ceil(self._plan(args).epoch_units / args.step_shape.step_units))

    def strategies(self) -> dict[str, str]:
        """Return the steps of the training, how datasets are drawn, tasks balanced and so on."""
        args, shape = self.args, self.args.step_shape
        rows = f"{self.steps():,} of {shape.rows * shape.accumulation} rows, {args.batching}"
        return {"steps": rows, **describe_strategies(*args.make_sampler(), args.make_balancer(), args)}

    def _plan(self, args: MultiTaskTrainingArguments) -> Plan:
        """Return the plan of the training by some arguments."""
        sampler, rules = args.make_sampler()
        streams = self.streams
        sizes = {name: rows_drawn(args) if name in streams else len(data) for name, data in self.train.items()}
        return make_plan(
            sampler,
            sizes,
            args.step_shape,
            rules=rules,
            epochs=args.num_train_epochs,
            max_steps=args.max_steps,
            seed=args.seed_of_rows,
        )

    def _unlabelled(self, dataset: str) -> dict[str, dict[str, int]]:
        """Return for each task of a dataset how many rows have no label, by use."""
        counts = self.label_counts[dataset]
        return {
            task: {use: found[task].unlabelled for use, found in counts.items() if task in found}
            for task in counts["train"]
        }

    def look(self) -> list[DataLook]:
        """Return what the rows of each dataset with texts are like, read by the encoder's tokenizer.

        Raises:
            RecipeError: If the encoder is not found.
        """
        tokenizer = self.recipe.load_processors().tokenizer
        if tokenizer is None:
            return []
        path, options = self.encoder
        path = path["text"] if isinstance(path, dict) else path
        config = AutoConfig.from_pretrained(path, **{k: v for k, v in options.items() if k == "revision"})
        if isinstance(config, MultiTaskConfig):
            config = config.get_text_config()
        max_length = self.args.max_length or longest_input(tokenizer, config)
        by_use = {use: self._labelled(use) for use in ("train", "validation", "test")}
        return [
            look_at(
                name,
                {use: datasets[name] for use, datasets in by_use.items() if name in datasets},
                self.label_counts[name],
                tokenizer,
                max_length,
            )
            for name in self.train
            if by_use["train"][name].has_texts
        ]

    def _labelled(self, use: str) -> dict[str, LabelledDataset]:
        heads: dict[str, type[Head]] = {task.name: head_class(task) for task in self.tasks}
        data: dict[str, Dataset] = getattr(self, use)
        return {name: LabelledDataset(f"{name} ({use})", rows, self.tasks, heads) for name, rows in data.items()}

    def hub_ids(self) -> dict[str, str]:
        """Return the id on the Hub of each dataset that is from there."""
        ids = {name: public_name(self.recipe.datasets[name].load.get("path")) for name in self.train}
        return {name: found for name, found in ids.items() if found is not None and "/" in found}

    def main_metrics(self) -> dict[str, str]:
        """Return for each task the metric that stands for it."""
        return {task.name: head_class(task).main_metric(task) for task in self.tasks}

    def build(self, callbacks: list[TrainerCallback] | None = None) -> BuiltRecipe:
        """Load the encoder and put model, tokenizer and trainer together.

        The seed is set first, so that the same recipe starts from the same heads.

        Args:
            callbacks: Further callbacks of the trainer.

        Raises:
            RecipeError: If the encoder cannot be loaded, or an argument does not fit it.
        """
        processors = self.recipe.load_processors()
        set_seed(self.args.seed)
        path, options = self.encoder
        key = "encoder" if self.recipe.model is None else "model"
        with self.recipe.blamed(), blamed_on(key, OSError, ValueError, TypeError, AttributeError, ImportError):
            if self.recipe.model is None:
                model = MultiTaskModel.from_encoder(path, self.tasks, branches=self.recipe.branches, **options)
            else:
                model = MultiTaskModel.from_pretrained(str(path), **options)
                for task in self.tasks:
                    model.replace_task(task)
        with self.recipe.blamed(), blamed_on("training", ValueError, TypeError, KeyError, ImportError):
            trainer = MultiTaskTrainer(
                model=model,
                args=self.args,
                train_dataset=self.train,
                eval_dataset=self.validation or None,
                processing_class=processors.tokenizer,
                image_processor=processors.image_processor,
                metrics={task.name: task.metrics for task in self.tasks if task.metrics},
                callbacks=callbacks,
                peft_config=self.recipe.peft or None,
                check_data=False,  # they were, to the last row
            )
        trainer.checks_data = True  # what later calls are given was not
        if processors.tokenizer is not None:
            warn_of_texts(self._labelled("train"), processors.tokenizer, trainer.data_collator.max_length)
        trainer.label_counts = {name: found["train"] for name, found in self.label_counts.items()}
        return BuiltRecipe(self, model, processors.tokenizer, trainer)

    def resolved(self, folder: str | Path = ".") -> dict[str, Any]:
        """Return the recipe with everything inferred written out.

        Args:
            folder: Where it will be kept; paths of local files count from there.
        """
        folder = Path(folder)
        recipe = self.recipe
        datasets = {}
        for name, source in recipe.datasets.items():
            values = source.model_dump(exclude_none=True)
            loaded = self.sources[name]
            datasets[name] = {
                "load": portable_load(loaded.load, folder),
                "columns": values["columns"],
                **({"constants": values["constants"]} if values["constants"] else {}),
                **loaded.names,
                **{
                    f"{use}_size": values[f"{use}_size"]
                    for use in ("validation", "test")
                    if use not in loaded.names and f"{use}_size" in values
                },
            }
        names = [task.name for task in self.tasks]
        # Rows are held out by the types of all tasks, those that are not trained among them.
        tasks = {name: fields for name, fields in recipe.tasks.items() if name not in names}
        for task in self.tasks:
            fields = task.to_dict()
            tasks[fields.pop("name")] = fields
        # Options of datasets that are not trained are left out of the arguments, not of the recipe.
        args = recipe.training_arguments() if recipe.only else self.args
        sampler, rules = args.make_sampler()
        methods = make_methods(args.methods)
        elsewhere = (
            "sampling",
            "sampling_options",
            "balancing",
            "balancing_options",
            "augmentation",
            "methods",
            "average",
        )
        training = {key: value for key, value in recipe._training.items() if key not in elsewhere}
        training.setdefault("output_dir", args.output_dir)
        training.setdefault("seed", args.seed)
        if "logging_strategy" not in training:
            training.setdefault("logging_steps", args.logging_steps)
        if training.get("card_pictures"):
            training["card_pictures"] = [portable(path, folder) for path in training["card_pictures"]]
        training.pop("hub_token", None)  # a secret; the stored login takes its place
        start, options = self.encoder
        augmentation = {name: made.options() for name, made in make_augmentations(args.augmentation).items()}
        return {
            **_portable_start("encoder" if recipe.model is None else "model", start, folder),
            **({"only": recipe.only} if recipe.only else {}),
            **({"encoder_kwargs": options} if options else {}),
            **({} if recipe.image_size is None else {"image_size": recipe.image_size}),
            **({"branches": recipe.branches} if recipe.branches else {}),
            "datasets": datasets,
            "tasks": tasks,
            "training": training,
            "sampling": {"strategy": args.sampling, **sampler.options(), **rules.options()},
            "balancing": {"method": args.balancing, **args.make_balancer().options()},
            **({"augmentation": augmentation} if augmentation else {}),
            **({"methods": {name: made.options() for name, made in methods.items()}} if methods else {}),
            **({"average": args.average} if args.average else {}),
            **({"peft": recipe.peft} if recipe.peft else {}),
        }

    def write(self, folder: str | Path, name: str = RECIPE) -> Path:
        """Write the resolved recipe and return its path; it loads to the same tasks and rows.

        Args:
            folder: Where it is kept.
            name: The file's name.
        """
        path = Path(folder) / name
        write_text_whole(path, self.text(folder))
        return path

    def text(self, folder: str | Path) -> str:
        """Return the resolved recipe as it is written to a folder."""
        return dump_yaml(redacted(self.resolved(folder)))
