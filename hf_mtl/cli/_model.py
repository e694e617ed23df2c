"""A trained model from a folder or the Hub, or one line that says why not."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from hf_mtl.cli._early import check_model
from hf_mtl.recipe import one_line
from hf_mtl_light.errors import UserError, library_errors_name

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedTokenizerBase

    from hf_mtl.model import MultiTaskModel
    from hf_mtl.recipe import Recipe
    from hf_mtl.trainer import CalibratedTask, MultiTaskTrainer, MultiTaskTrainingArguments

from hf_mtl_light.folders import finish_replacing, replace_files, staging_in
from hf_mtl_light.outputs import real_path
from hf_mtl_light.text import cell_text

__all__ = [
    "idle_trainer",
    "image_processor_of",
    "load_model",
    "named_in",
    "one_pass",
    "open_backend",
    "save_changed",
    "shown_name",
]


def load_model(name: str, *, merge_adapters: bool = False) -> tuple[MultiTaskModel, Any]:
    """Load a multi-task model and its tokenizer; of a model of pictures alone ``None``.

    Args:
        name: Its folder, or its id on the Hub.
        merge_adapters: Whether adapters are added to the weights of the encoder, where the model has some.

    Raises:
        ValueError: If there is none, or it is a model of another kind.
    """
    from transformers import AutoConfig, AutoTokenizer

    from hf_mtl.configuration import MultiTaskConfig
    from hf_mtl.data import check_vocabulary
    from hf_mtl.model import MultiTaskModel
    from hf_mtl_light.encoding import padding_id

    if (folder := check_model(name)) is not None:
        name = str(folder)
        finish_replacing(folder)
    try:
        with library_errors_name("its files cannot be read"):
            config = AutoConfig.from_pretrained(name)
        if not isinstance(config, MultiTaskConfig):
            raise UserError(
                f"it is a plain {config.model_type!r} model, not a multi-task one. Train one with hf-mtl train."
            )
        model = MultiTaskModel.from_pretrained(name)
        if merge_adapters and model.has_adapters:
            model.merge_and_unload()
        if "text" not in model.encoders:
            return model, None
        with library_errors_name("its tokenizer cannot be read"):
            tokenizer = AutoTokenizer.from_pretrained(name)
        check_vocabulary(tokenizer, model.get_input_embeddings().weight.shape[0], model.config.vocabulary)
        padding_id(tokenizer)
        return model, tokenizer
    except (UserError, OSError) as error:
        raise UserError(f"model {name!r}: {one_line(error)}") from error


def open_backend(name: str) -> tuple[Any, str]:
    """Open what answers, a model or an exported folder, and say what runs it: the latter needs no torch.

    Raises:
        ValueError: If there is none.
    """
    from hf_mtl_light import OnnxPredictor
    from hf_mtl_light.description import DESCRIPTION_FILE

    if (folder := Path(name).expanduser()).joinpath(DESCRIPTION_FILE).is_file():
        return OnnxPredictor(folder), "onnxruntime"
    check_model(name)
    from hf_mtl.cli._terminal import quiet_libraries
    from hf_mtl.inference import pack_weights
    from hf_mtl.pipelines import MultiTaskPipeline

    with quiet_libraries():
        model, tokenizer = load_model(name)
        # The model is used here alone, so its weights stay as they are.
        return MultiTaskPipeline(pack_weights(model), tokenizer, image_processor_of(model)), "torch"


def named_in(tasks: str | None) -> list[str] | None:
    """Return the names of tasks that an option lists with commas; ``None``: none are chosen."""
    return None if tasks is None else [name.strip() for name in tasks.split(",") if name.strip()]


def shown_name(name: str) -> str:
    """Return how a card names a model or an encoder, as code: its id on the Hub, of a folder no more than its name."""
    from hf_mtl.model_card import public_name

    return cell_text(public_name(name) or Path(name).absolute().name)


def image_processor_of(model: MultiTaskModel) -> Any:
    """Return the image processor that was saved with a model of pictures; ``None`` for one of texts alone.

    Raises:
        OSError: If there is none.
    """
    from transformers import AutoImageProcessor

    return AutoImageProcessor.from_pretrained(model.config.name_or_path) if "image" in model.encoders else None


@contextmanager
def idle_trainer(
    model: MultiTaskModel, tokenizer: PreTrainedTokenizerBase | None, recipe: Recipe
) -> Iterator[MultiTaskTrainer]:
    """Yield a trainer that scores a trained model as a recipe says, and leaves no file."""
    from hf_mtl.trainer import MultiTaskTrainer

    # A trainer makes its output folder, and there is nothing to keep.
    with TemporaryDirectory() as folder:
        args = recipe.training_arguments(
            output_dir=folder,
            report_to="none",
            push_to_hub=False,
            load_best_model_at_end=False,
            eval_strategy="no",
            save_strategy="no",
            tune_thresholds="none",
            calibrate=False,
        )
        given = {name: (task or {}).get("metrics") for name, task in recipe.tasks.items() if name in model.task_heads}
        metrics = {name: names for name, names in given.items() if names}
        yield MultiTaskTrainer(
            model, args, processing_class=tokenizer, metrics=metrics, image_processor=image_processor_of(model)
        )


def one_pass(data: Mapping[str, Dataset], tasks: Sequence[str], args: MultiTaskTrainingArguments) -> str:
    """Describe what one pass over the rows that label some tasks takes."""
    counts = {name: len(rows) for name, rows in data.items() if any(task in rows.column_names for task in tasks)}
    size = args.per_device_eval_batch_size
    batches = sum(-(-count // size) for count in counts.values())
    named = ", ".join(f"{name} {count:,}" for name, count in counts.items())
    return f"No training: one pass over {sum(counts.values()):,} rows ({named}), about {batches:,} batches of {size}."


def save_changed(
    model: MultiTaskModel,
    tokenizer: PreTrainedTokenizerBase | None,
    folder: Path,
    calibrated: Mapping[str, CalibratedTask] | None = None,
    *,
    made: str | None = None,
) -> None:
    """Save a model whose heads were changed, with its tokenizer, its image processor and a card of it as it is now.

    ``calibrated`` is what a calibration changed, and ``made`` how the model came to be, in Markdown, for the card.
    """
    from hf_mtl.model import HISTORY, JUDGED, RESULTS
    from hf_mtl.model_card import CardFacts, write_card, write_section
    from hf_mtl.trainer import write_calibration

    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder}: is a file. Name a folder.")
    target = real_path(folder)
    target.mkdir(parents=True, exist_ok=True)
    staging = staging_in(target)
    try:
        model.save_pretrained(staging)
        for processor in (tokenizer, image_processor_of(model)):
            if processor is not None:
                processor.save_pretrained(staging)
        facts = CardFacts.of_model(model, folder.absolute().name)
        write_card(staging / "README.md", facts, earlier=target / "README.md")
        write_calibration(staging / "README.md", model, calibrated or {})
        if made is not None:
            write_section(staging / "README.md", "made", "How it was made", made)
        # What was measured of the model that lay there says nothing of this one; nor does how it was trained, where
        # this is not the same model changed.
        origin = model.config.name_or_path
        is_changed = Path(origin).resolve() == target.resolve() if origin else False
        replace_files(staging, target, (*RESULTS, *JUDGED, *(() if is_changed else HISTORY)))
    finally:
        shutil.rmtree(staging, ignore_errors=True)
