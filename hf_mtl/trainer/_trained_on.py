"""What a checkpoint was trained on, in one readable file, and what differs when it is resumed from."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import xxhash

from hf_mtl._names import listed
from hf_mtl.augmentation import make_augmentations
from hf_mtl.balancers import Balancer
from hf_mtl.data import LabelledDataset
from hf_mtl.model import MultiTaskModel
from hf_mtl.samplers import DatasetSampler
from hf_mtl.samplers.plan import SamplingRules
from hf_mtl.trainer._arguments import MultiTaskTrainingArguments
from hf_mtl.trainer._whole import TRAINED_ON
from hf_mtl.training_methods import make_methods
from hf_mtl_light.errors import UserError
from hf_mtl_light.outputs import write_text_whole

__all__ = ["check_same_training", "differences", "read_trained_on", "training_facts", "write_trained_on"]

#: Training arguments that a resumed training shares with the one it continues. Its length is not one of them.
_ARGUMENTS = (
    "seed",
    "data_seed",
    "batching",
    "dataloader_drop_last",
    "loss_scaling",
    "max_length",
    "stream_buffer",
    "optim",
    "optim_args",
    "optim_target_modules",
    "adam_beta1",
    "adam_beta2",
    "adam_epsilon",
    "max_grad_norm",
    "neftune_noise_alpha",
    "learning_rate",
    "weight_decay",
    "lr_scheduler_type",
    "lr_scheduler_kwargs",
    "warmup_steps",
    "head_learning_rate",
    "encoder_layer_decay",
    "trunk_learning_rate",
    "freeze_encoder",
    "freeze_trunk",
    "frozen_layers",
    "frozen_heads",
    "unfreeze_at_step",
    "average",
)
#: Fields of a task that training or tuning sets, or that change no weight.
_NOT_COMPARED = (
    "target_mean",
    "target_std",
    "thresholds",
    "calibration_temperature",
    "conformal_thresholds",
    "metrics",
    "main_metric",
    "options",
)
#: Fields of a task that hold "balanced" until they are learned.
_LEARNED = ("class_weights", "pos_weight")
#: What of an encoder's config says nothing of its weights.
_VOLATILE = (
    *("_name_or_path", "transformers_version", "dtype", "torch_dtype", "architectures", "use_cache"),
    # Transformers' trainer gives the config those of the tokenizer when training begins.
    *("pad_token_id", "bos_token_id", "eos_token_id"),
)


def training_facts(
    model: MultiTaskModel,
    args: MultiTaskTrainingArguments,
    sampling: tuple[DatasetSampler, SamplingRules],
    balancer: Balancer,
    processors: tuple[Any, Any],
    datasets: tuple[Mapping[str, LabelledDataset], Mapping[str, LabelledDataset]],
) -> dict[str, Any]:
    """Return what a training depends on, as JSON knows it.

    Args:
        model: The model.
        args: The training arguments.
        sampling: How often each dataset is drawn, and the options that go with any strategy.
        balancer: How the tasks' losses become one.
        processors: The tokenizer (of a model of pictures alone the image processor), and the image processor.
        datasets: The training datasets, and those that are scored.
    """
    encoder: Any = model.config.encoder_config
    tokenizer, image_processor = processors
    settings = {name: getattr(args, name) for name in _ARGUMENTS}
    settings["rows of an optimizer step"] = (
        args.train_batch_size * args.world_size * args.gradient_accumulation_steps
        if not args.auto_find_batch_size
        else "auto_find_batch_size"
    )
    settings["sampling"] = dict(zip(("strategy", "rules"), map(_described, sampling), strict=True))
    options = _described(balancer) if dataclasses.is_dataclass(balancer) else args.balancing_options
    settings["balancing"] = {"class": type(balancer).__name__, "options": options}
    settings["augmentation"] = {name: made.options() for name, made in make_augmentations(args.augmentation).items()}
    settings["methods"] = {name: made.options() for name, made in make_methods(args.methods).items()}
    settings["branches"] = dict(model.config.branches or {})
    if model.has_adapters:
        settings["peft"] = {
            name: sorted(value) if isinstance(value, set) else value
            for name, value in vars(model.peft_config["default"]).items()
            if name not in ("base_model_name_or_path", "revision")
        }
    beside: Any = model.config.image_encoder_config
    if beside is not None:
        settings["encoder of pictures"] = _encoder_hash(beside)
        settings["image processor"] = None if image_processor is None else _hash(image_processor.to_dict())
    facts = {
        "encoder": {"model_type": encoder.model_type, "config": _encoder_hash(encoder)},
        "tokenizer": _tokenizer_hash(tokenizer),
        "tasks": [task.to_dict() for task in model.tasks],
        "train": _datasets(datasets[0]),
        # The best model so far is the best on these rows.
        "validation": _datasets(datasets[1]),
        "best_by": args.metric_for_best_model,
        "settings": settings,
    }
    return json.loads(json.dumps(facts, default=_plain))  # type: ignore[no-any-return]


def _plain(value: Any) -> Any:
    return getattr(value, "value", None) or type(value).__qualname__


def _described(value: Any) -> Any:
    """Return a value as JSON knows it; a dataclass by its class and its options."""
    if dataclasses.is_dataclass(value):
        fields = (field.name for field in dataclasses.fields(value) if field.init)
        return {"class": type(value).__name__, **{name: _described(getattr(value, name)) for name in fields}}
    if isinstance(value, Mapping):
        return {str(name): _described(inner) for name, inner in value.items()}
    return [_described(inner) for inner in value] if isinstance(value, (list, tuple)) else value


def _hash(value: Any) -> str:
    return xxhash.xxh3_128_hexdigest(json.dumps(value, sort_keys=True, default=str).encode())


def _encoder_hash(encoder: Any) -> str:
    config = encoder.to_diff_dict()
    return _hash({name: value for name, value in config.items() if name not in _VOLATILE})


def _tokenizer_hash(tokenizer: Any) -> str:
    if not hasattr(tokenizer, "get_vocab"):  # an image processor
        return _hash(tokenizer.to_dict())
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return _hash(tokenizer.get_vocab())
    # Truncation and padding are set again for each batch.
    return _hash({k: v for k, v in json.loads(backend.to_str()).items() if k not in ("truncation", "padding")})


def _datasets(datasets: Mapping[str, LabelledDataset]) -> dict[str, Any]:
    return {name: {"rows": len(dataset), "columns": dataset.content} for name, dataset in datasets.items()}


def read_trained_on(checkpoint: Path) -> dict[str, Any] | None:
    """Return what a checkpoint was trained on; of one without the file the tasks of its model alone.

    Args:
        checkpoint: The checkpoint's folder.
    """
    for name in (TRAINED_ON, "config.json"):
        if (checkpoint / name).is_file():
            found = json.loads((checkpoint / name).read_text(encoding="utf-8"))
            return found if name == TRAINED_ON else {"tasks": found["tasks"]} if "tasks" in found else None
    return None


def check_same_training(checkpoint: Path, current: Mapping[str, Any]) -> tuple[list[str], list[str], list[str]]:
    """Refuse to resume from a checkpoint that was trained on something else.

    Args:
        checkpoint: The checkpoint's folder.
        current: What `training_facts` returned.

    Returns:
        The order that it was trained in: of tasks, of training datasets and of those that were scored.

    Raises:
        ValueError: If anything but an order differs; the message names it, and what to do.
    """
    saved = read_trained_on(checkpoint)
    if saved is None:
        return [], [], []
    if found := differences(saved, current):
        raise UserError(
            f"Cannot resume from {checkpoint}, which was trained on something else: {'; '.join(found)}. Give what it "
            f"was trained with, or start a new training from its weights: "
            f"MultiTaskModel.from_pretrained({str(checkpoint)!r})."
        )
    return [task["name"] for task in saved["tasks"]], list(saved.get("train", ())), list(saved.get("validation", ()))


def write_trained_on(checkpoint: Path, facts: Mapping[str, Any]) -> None:
    """Write what a checkpoint was trained on into it.

    Args:
        checkpoint: The checkpoint's folder.
        facts: What `training_facts` returned.
    """
    text = json.dumps(facts, indent=2, ensure_ascii=False) + "\n"
    write_text_whole(checkpoint / TRAINED_ON, text)


def differences(saved: Mapping[str, Any], current: Mapping[str, Any]) -> list[str]:
    """Return what differs, a clause each; another order of tasks or datasets does not.

    Args:
        saved: What `read_trained_on` returned.
        current: What `training_facts` returned.
    """
    return [*_of_tasks(saved["tasks"], current["tasks"]), *(_of_the_rest(saved, current) if "train" in saved else ())]


def _of_tasks(saved: Sequence[Mapping[str, Any]], current: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    before, now = ({task["name"]: task for task in tasks} for tasks in (saved, current))
    yield from _of_names("task", before, now)
    for name in (name for name in before if name in now):
        for field in sorted({*before[name], *now[name]} - {*_NOT_COMPARED, "name"}):
            was, is_now = before[name].get(field), now[name].get(field)
            if field in _LEARNED and "balanced" in (was, is_now) and None not in (was, is_now):
                continue
            if was != is_now:
                yield f"task {name!r} has {field} {_short(is_now)}, trained with {_short(was)}"


def _of_names(what: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    if added := [name for name in now if name not in before]:
        yield f"{what} {listed(added)} was not trained"
    if gone := [name for name in before if name not in now]:
        yield f"{what} {listed(gone)} is missing"


def _of_the_rest(saved: Mapping[str, Any], current: Mapping[str, Any]) -> Iterator[str]:
    before, now = saved["settings"], current["settings"]
    for name in (name for name in now if name in before):
        if name == "rows of an optimizer step" and "auto_find_batch_size" in (before[name], now[name]):
            continue
        yield from _of_values(name, before[name], now[name])
    for what in ("encoder", "tokenizer"):
        if saved[what] != current[what]:
            yield f"the {what} is another one"
    yield from _of_datasets("dataset", saved["train"], current["train"])
    if saved["best_by"] != current["best_by"]:
        yield f"metric_for_best_model is {current['best_by']!r}, was {saved['best_by']!r}"
    elif current["best_by"] is not None:
        yield from _of_datasets("validation dataset", saved["validation"], current["validation"])


def _of_values(name: str, before: Any, now: Any) -> Iterator[str]:
    """Yield the options that differ, not all that lie beside them."""
    if isinstance(before, dict) and isinstance(now, dict) and before.get("class") == now.get("class"):
        for key in sorted({*before, *now}):
            yield from _of_values(f"{name}: {key}", before.get(key), now.get(key))
    elif before != now:
        yield f"{name} is {_short(now)}, was {_short(before)}"


def _of_datasets(what: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    yield from _of_names(what, before, now)
    for name in (name for name in before if name in now):
        old, new = before[name], now[name]
        if old["rows"] != new["rows"]:
            yield f"{what} {name!r} has {new['rows']:,} rows, had {old['rows']:,}"
            continue
        columns = sorted({*old["columns"], *new["columns"]})
        if changed := [c for c in columns if old["columns"].get(c) != new["columns"].get(c)]:
            yield f"{what} {name!r} holds other values, or rows in another order, in {listed(changed)}"


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 120 else f"{text[:117]}..."
