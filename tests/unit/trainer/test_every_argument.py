"""Every argument of the trainer is honoured, or refused in words: none is without effect.

A field that a new Transformers brings is in no table, and fails the first test until somebody decides.
"""

import dataclasses
import hashlib
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from transformers import TrainingArguments
from transformers.trainer_callback import PrinterCallback

from hf_mtl import MultiTaskModel, MultiTaskTrainer, MultiTaskTrainingArguments, TaskConfig
from hf_mtl.arguments import REFUSED
from hf_mtl.trainer._refused import REFUSED_OF_ACCELERATOR
from tests.conftest import make_tokenizer
from tests.encoders import tiny_encoder

FIELDS = {f.name: f for f in dataclasses.fields(MultiTaskTrainingArguments)}
STOCK = {f.name for f in dataclasses.fields(TrainingArguments)}

LABELS = ["bad", "good"]
TEXTS = ["good film", "bad film", "very good book by anna", "bad song", "good play in rome", "not good song"]
DATA = {
    "films": Dataset.from_dict({"text": TEXTS[:4], "mood": ["good", "bad", "good", "bad"]}),
    "plays": Dataset.from_dict({"text": [*TEXTS, *TEXTS[::-1]], "length": [float(len(t)) for t in TEXTS] * 2}),
}
TASKS = [TaskConfig("mood", "sentiment", labels=LABELS), TaskConfig("length", "regression")]
TOPICS = TaskConfig("topics", "multi-label-classification", labels=["film", "book"])


def make(folder, tasks=TASKS, data=DATA, **kwargs):
    """Build a trainer of tiny parts, two steps long by default."""
    # use_cpu: rows hold on a machine with a GPU, too.
    base = {"use_cpu": True, "disable_tqdm": True, "precision": "float32", "max_steps": 2, "logging_steps": 1}
    base |= {"per_device_train_batch_size": 4, "save_strategy": "no", "batching": "mixed", "learning_rate": 1e-2}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        args = MultiTaskTrainingArguments(str(folder), **{**base, **kwargs})
    torch.manual_seed(0)
    model = MultiTaskModel.from_encoder(tiny_encoder(hidden_size=16, num_attention_heads=2), tasks)
    trainer = MultiTaskTrainer(model, args, data, data, make_tokenizer())
    trainer.remove_callback(PrinterCallback)
    return trainer


# What of a trained trainer shows that an argument took effect


def weights(trainer):
    digest = hashlib.sha256()
    for value in trainer.model.state_dict().values():
        digest.update(value.float().numpy().tobytes())
    return digest.hexdigest()


def logged(trainer):
    """The steps of each log, and what it names."""
    return [(log["step"], sorted(k for k in log if "runtime" not in k)) for log in trainer.state.log_history]


def files(trainer):
    out = Path(trainer.args.output_dir)
    return sorted(str(p.relative_to(out)) for p in out.rglob("*"))


def callbacks(trainer):
    return sorted(type(callback).__name__ for callback in trainer.callback_handler.callbacks)


def steps(trainer):
    return trainer.state.global_step


def group(*names):
    return lambda trainer: [{n: g[n] for n in names} for g in trainer.optimizer.param_groups]


def checkpointed(trainer):
    return [getattr(layer, "gradient_checkpointing", None) for layer in trainer.model.encoder.encoder.layer]


def loader(*names):
    return lambda trainer: [str(getattr(trainer.get_train_dataloader(), name)) for name in names]


def evaluated_dtype(trainer):
    trainer.evaluate()
    return trainer.model.dtype


def measured(trainer):
    return sorted(k for k in trainer.evaluate() if "mem" in k), sorted(
        k for k in trainer.predict(DATA).metrics if "mem" in k
    )


def handler(trainer):
    return {k: v for k, v in vars(trainer.accelerator.ddp_handler).items() if not k.startswith("_")}


@dataclass
class Seen:
    """A value that has an effect on what ``probe`` returns of a trainer.

    Args:
        value: The value.
        probe: What is looked at.
        beside: Arguments of both runs.
        trains: Whether the trainers are trained first.
        make: Arguments of `make` for both.
    """

    value: Any
    probe: Any
    beside: dict = field(default_factory=dict)
    trains: bool = True
    make: dict = field(default_factory=dict)


EPOCHS = {"eval_strategy": "epoch", "save_strategy": "epoch", "max_steps": -1, "num_train_epochs": 2}
SCORED = {**EPOCHS, "metric_for_best_model": "loss"}
MULTI = {
    "tasks": [TOPICS],
    "data": {"rows": Dataset.from_dict({"text": TEXTS, "topics": [["film"], ["film"], ["book"], [], [], ["film"]]})},
}

SEEN = {
    "output_dir": None,  # has a test below
    "per_device_train_batch_size": Seen(2, weights),
    "num_train_epochs": Seen(2, steps, {"max_steps": -1, "num_train_epochs": 1}),
    "max_steps": Seen(1, steps),
    "learning_rate": Seen(1e-3, weights),
    "lr_scheduler_type": Seen("constant", weights),
    "lr_scheduler_kwargs": Seen({"power": 3.0}, weights, {"lr_scheduler_type": "polynomial"}),
    "warmup_steps": Seen(1, weights),
    "optim": Seen("sgd", lambda trainer: type(trainer.optimizer.optimizer).__name__),
    "optim_args": Seen("momentum=0.5", group("momentum"), {"optim": "sgd"}),
    "weight_decay": Seen(0.5, weights),
    "adam_beta1": Seen(0.5, group("betas")),
    "adam_beta2": Seen(0.5, group("betas")),
    "adam_epsilon": Seen(1e-3, group("eps")),
    "gradient_accumulation_steps": Seen(2, steps, {"max_steps": -1, "num_train_epochs": 1}),
    "max_grad_norm": Seen(1e-4, weights, {"optim": "sgd"}),
    "bf16": Seen(True, weights),
    "bf16_full_eval": Seen(True, evaluated_dtype),
    "activation_checkpointing": Seen(True, checkpointed),
    "activation_checkpointing_kwargs": Seen({"every_n_layers": 2}, checkpointed, {"activation_checkpointing": True}),
    "gradient_checkpointing": Seen(True, checkpointed),
    "gradient_checkpointing_kwargs": Seen({"every_n_layers": 2}, checkpointed, {"gradient_checkpointing": True}),
    "torch_compile": Seen(True, lambda t: t.accelerator.state.dynamo_plugin.backend, trains=False),
    "torch_compile_backend": Seen("eager", lambda t: t.accelerator.state.dynamo_plugin.backend, trains=False),
    "torch_compile_mode": Seen("max-autotune", lambda t: t.accelerator.state.dynamo_plugin.mode, trains=False),
    "neftune_noise_alpha": Seen(5.0, weights),
    "logging_strategy": Seen("no", logged),
    "logging_steps": Seen(2, logged),
    "logging_first_step": Seen(True, logged, {"logging_steps": 50}),
    "include_num_input_tokens_seen": Seen("all", lambda trainer: trainer.state.num_input_tokens_seen),
    "disable_tqdm": Seen(False, callbacks, trains=False),
    "eval_strategy": Seen("epoch", logged, {"max_steps": -1, "num_train_epochs": 1}),
    "eval_steps": Seen(2, logged, {"eval_strategy": "steps"}),
    "eval_delay": Seen(2, logged, {"eval_strategy": "steps", "eval_steps": 1}),
    "per_device_eval_batch_size": Seen(2, lambda trainer: len(trainer.get_eval_dataloader()), trains=False),
    "eval_on_start": Seen(True, logged, {"eval_strategy": "epoch"}),
    "save_only_model": Seen(True, files, {"save_strategy": "steps", "save_steps": 1}),
    "save_strategy": Seen("steps", files, {"save_steps": 1}),
    "save_steps": Seen(1, files, {"save_strategy": "steps"}),
    "save_total_limit": Seen(1, files, {"save_strategy": "steps", "save_steps": 1}),
    "enable_jit_checkpoint": Seen(True, callbacks),
    "load_best_model_at_end": Seen(True, lambda t: t.state.best_model_checkpoint is None, EPOCHS),
    "metric_for_best_model": Seen("score", lambda t: t.state.best_metric, SCORED),
    "greater_is_better": Seen(True, lambda t: t.state.best_metric, SCORED),
    "seed": Seen(1, weights),
    "data_seed": Seen(1, weights),
    "dataloader_drop_last": Seen(
        True, steps, {"per_device_train_batch_size": 6, "max_steps": -1, "num_train_epochs": 1}
    ),
    "dataloader_num_workers": Seen(1, loader("num_workers"), trains=False),
    "dataloader_persistent_workers": Seen(
        True, loader("persistent_workers"), {"dataloader_num_workers": 1}, trains=False
    ),
    "dataloader_prefetch_factor": Seen(3, loader("prefetch_factor"), {"dataloader_num_workers": 1}, trains=False),
    "dataloader_multiprocessing_context": Seen(
        "spawn",
        lambda t: t.get_train_dataloader().multiprocessing_context.get_start_method(),
        {"dataloader_num_workers": 1, "dataloader_multiprocessing_context": "fork"},
        trains=False,
    ),
    "dataloader_in_order": Seen(False, loader("in_order"), {"dataloader_num_workers": 1}, trains=False),
    "ddp_find_unused_parameters": Seen(False, handler, trains=False),
    "ddp_bucket_cap_mb": Seen(1, handler, trains=False),
    "ddp_broadcast_buffers": Seen(False, handler, trains=False),
    "skip_memory_metrics": Seen(False, measured, trains=False),
    # Our own
    "sampling": Seen("uniform", lambda trainer: trainer.summary(), trains=False),
    "sampling_options": Seen({"weights": {"films": 5.0}}, lambda trainer: trainer.summary(), trains=False),
    "batching": Seen("homogeneous", weights),
    "balancing": Seen("equal", weights),
    "balancing_options": Seen({"temperature": 0.1}, weights, {"balancing": "dwa", "max_steps": 12}),
    "augmentation": Seen({"word-deletion": {"p": 1.0, "rate": 0.5}}, weights),
    "methods": Seen({"r-drop": {"noise": 1.0}}, weights),
    "average": Seen({"kind": "tail", "from": 0.0}, weights),
    "loss_scaling": Seen("log_classes", weights, {"optim": "sgd"}),
    "gradient_cosine_steps": Seen(1, logged),
    "max_length": Seen(3, weights),
    "stream_buffer": Seen(2, weights, make={"data": {n: d.to_iterable_dataset() for n, d in DATA.items()}}),
    "precision": Seen("bfloat16", weights),
    "fast_dropout": Seen(False, weights),
    "head_learning_rate": Seen(0.5, group("initial_lr")),
    "encoder_layer_decay": Seen(0.5, group("initial_lr")),
    "trunk_learning_rate": Seen(0.5, group("initial_lr")),
    "freeze_encoder": Seen(True, weights),
    "freeze_trunk": Seen(True, weights),
    "frozen_layers": Seen(1, weights),
    "frozen_heads": Seen(["mood"], weights),
    "unfreeze_at_step": Seen(1, weights, {"freeze_encoder": True}),
    "tune_thresholds": Seen("global", lambda trainer: trainer.tuned_thresholds.keys(), make=MULTI),
    "calibrate": Seen(True, lambda trainer: trainer.calibrated_tasks.keys()),
    "card_examples": None,  # has a test below
    "card_pictures": None,  # seen in test_object_detection.py
}

#: Read where this machine or one process cannot see it, or seen by another file's tests.
ELSEWHERE = {
    "auto_find_batch_size": "test_a_batch_that_does_not_fit_is_halved",
    "dataloader_pin_memory": "on a GPU",
    "ddp_backend": "several processes",
    "ddp_timeout": "several processes",
    "deepspeed": "several GPUs",
    "eval_accumulation_steps": "always so: predictions are counted batch by batch, and none stays on a device",
    "eval_use_gather_object": "always so: processes exchange objects",
    "fp16": "on a GPU; refused on a CPU",
    "fp16_full_eval": "on a GPU; refused on a CPU",
    "fsdp": "several GPUs",
    "fsdp_config": "several GPUs",
    "full_determinism": "Transformers sets it for the whole process",
    "hub_always_push": "tests/hub_pushes.py",
    "hub_model_id": "tests/hub_pushes.py",
    "hub_private_repo": "tests/hub_pushes.py",
    "hub_revision": "tests/hub_pushes.py",
    "hub_strategy": "tests/hub_pushes.py",
    "hub_token": "tests/hub_pushes.py",
    "ignore_data_skip": "read by Transformers' loop when a training is resumed",
    "local_rank": "set by launchers",
    "log_level": "Transformers sets it for the whole process",
    "log_level_replica": "several processes",
    "log_on_each_node": "several machines",
    "logging_nan_inf_filter": "read by Transformers' loop where a loss is not finite",
    "on_divergence": "tests/unit/trainer/test_divergence.py",
    "project": "read by the callbacks of report_to",
    "push_to_hub": "tests/hub_pushes.py",
    "report_to": "Transformers adds the callbacks of packages that are installed",
    "restore_callback_states_from_checkpoint": "tests/unit/trainer/test_adaptive_sampling.py",
    "reuse_memory": "tests/unit/trainer/test_freed_memory.py",
    "run_name": "read by the callbacks of report_to",
    "save_on_each_node": "several machines",
    "tf32": "on a GPU",
    "torch_empty_cache_steps": "on a GPU",
    "trackio_bucket_id": "read by the callbacks of report_to",
    "trackio_space_id": "read by the callbacks of report_to",
    "trackio_static_space_id": "read by the callbacks of report_to",
    "unpad": "tests/unit/trainer/test_speed.py",
    "use_cpu": "on a GPU",
}
#: Of Transformers' example scripts: no trainer reads them.
SCRIPTS = ("do_eval", "do_predict", "do_train", "resume_from_checkpoint")
#: Refused for some values only.
SOME_VALUES = {
    "accelerator_config": [
        ({"split_batches": True}, "Divide it by the number of processes"),
        ({"dispatch_batches": True}, "each process computes"),
        ({"even_batches": False}, "same number of batches"),
        ({"use_seedable_sampler": False}, "seed and the step"),
    ],
    "debug": [("underflow_overflow", "boolean attention"), ("tpu_metrics_debug", "TPUs")],
    "optim_target_modules": [("all-linear", "GaLore")],
    "parallelism_config": [],  # of several processes: has a test below
}
#: A value of each refused field that asks for something.
ASKING = {
    "average_tokens_across_devices": False,
    "batch_eval_metrics": True,
    "ddp_static_graph": True,
    "eval_do_concat_batches": False,
    "include_for_metrics": ["loss"],
    "label_names": ["labels"],
    "label_smoothing_factor": 0.1,
    "length_column_name": "len",
    "liger_kernel_config": {"rope": True},
    "prediction_loss_only": True,
    "remove_unused_columns": False,
    "train_sampling_strategy": "group_by_length",
    "use_cache": True,
    "use_liger_kernel": True,
}


def test_every_field_is_in_one_table():
    tables = [
        {k for k, v in SEEN.items() if v or k in ("output_dir", "card_examples", "card_pictures")},
        set(ELSEWHERE),
        set(SCRIPTS),
    ]
    tables += [set(SOME_VALUES), set(REFUSED)]
    undecided = sorted(set(FIELDS) - set().union(*tables))
    assert not undecided, f"Honoured (SEEN, ELSEWHERE) or refused (hf_mtl/trainer/_refused.py)? Decide: {undecided}"
    assert set().union(*tables) == set(FIELDS), "a table names a field that is gone"
    twice = [name for name in FIELDS if sum(name in table for table in tables) > 1]
    assert not twice
    assert set(ASKING) == set(REFUSED)


def test_the_page_names_every_field():
    page = (Path(__file__).parents[3] / "docs" / "arguments.md").read_text(encoding="utf-8")
    honoured, refused = page.split("\nRefused:\n")
    refused = refused.split("## Arguments of the trainer")[0]
    for name in sorted(STOCK):
        assert (f"`{name}`" in refused) or (f"`{name}`" in honoured and name not in REFUSED), name
    for name, (_, reason) in {**REFUSED, **REFUSED_OF_ACCELERATOR}.items():
        assert reason in refused, name


@pytest.fixture(scope="module")
def usual(tmp_path_factory):
    """Return a trainer without the changed argument: one for all rows that have the others in common."""
    made = {}

    def usual(seen):
        if not seen.trains:
            return make(tmp_path_factory.mktemp("usual"), **seen.make, **seen.beside)
        key = repr((seen.beside, seen.make))
        if key not in made:
            made[key] = make(tmp_path_factory.mktemp("usual"), **seen.make, **seen.beside)
            made[key].train()
        return made[key]

    return usual


@pytest.mark.parametrize("name", [name for name, seen in SEEN.items() if seen])
def test_an_honoured_field_has_an_effect(tmp_path, usual, name):
    seen = SEEN[name]
    trainer = make(tmp_path, **seen.make, **{**seen.beside, name: seen.value})
    if seen.trains:
        trainer.train()
    found = seen.probe(trainer)  # before another is built: processes hold one accelerator's state
    assert found != seen.probe(usual(seen))


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_a_refused_field_says_why_and_what_to_do(tmp_path, name):
    with pytest.raises(ValueError, match=rf"^{name}=.* is not supported: \w.*(Leave it out|leave it out|Pass|Rename)"):
        make(tmp_path, **{name: ASKING[name]})
    default = FIELDS[name].default
    make(tmp_path, **({} if default is dataclasses.MISSING else {name: default}))


@pytest.mark.parametrize(("name", "value", "words"), [(n, v, w) for n, rows in SOME_VALUES.items() for v, w in rows])
def test_a_value_without_effect_is_refused(tmp_path, name, value, words):
    with pytest.raises(ValueError, match=words):
        make(tmp_path, **{name: value})


@pytest.mark.parametrize(
    ("kwargs", "words"),
    [
        ({"optim_args": "momentum=0.5"}, "takes none"),
        ({"optim": "lomo"}, "Choose another"),
        ({"optim": "galore_adamw_layerwise", "optim_target_modules": "all-linear"}, "Choose another"),
        ({"balancing_options": {"temperature": 0.1}}, "has no option"),
        ({"unfreeze_at_step": 1}, "nothing is frozen until then"),
        ({"fp16": True}, "needs a GPU"),
        ({"fp16_full_eval": True}, "needs a GPU"),
        ({"dataloader_drop_last": True, "gradient_accumulation_steps": 2, "batching": "homogeneous"}, "whole step"),
        ({"neftune_noise_alpha": 5.0, "torch_compile": True}, "own length"),
    ],
)
def test_arguments_that_cannot_go_together_are_refused(tmp_path, kwargs, words):
    with pytest.raises(ValueError, match=words):
        make(tmp_path, **kwargs)


def test_an_argument_changed_after_it_was_checked_is_refused_when_training_starts(tmp_path):
    trainer = make(tmp_path)
    trainer.args.label_smoothing_factor = 0.1
    with pytest.raises(ValueError, match="label_smoothing_factor"):
        trainer.train()


def test_parallelism_of_other_kinds_than_data_is_refused(tmp_path):
    from accelerate.parallelism_config import ParallelismConfig

    for name in ("tp_size", "cp_size"):
        with pytest.raises(ValueError, match=f"{name}=2 is not supported"):
            make(tmp_path, parallelism_config=ParallelismConfig(**{name: 2}))
    with pytest.raises(ValueError, match="fsdp needs GPUs"):
        make(tmp_path, fsdp=True)


def test_accelerator_config_is_honoured_where_it_is_not_refused(tmp_path):
    from transformers.trainer_pt_utils import AcceleratorConfig

    decided = {"split_batches", "dispatch_batches", "even_batches", "use_seedable_sampler"}
    decided |= {"non_blocking", "gradient_accumulation_kwargs", "use_configured_state"}
    assert {f.name for f in dataclasses.fields(AcceleratorConfig)} == decided
    assert make(tmp_path, accelerator_config={"non_blocking": True}).get_train_dataloader()._non_blocking
    trainer = make(tmp_path, accelerator_config={"gradient_accumulation_kwargs": {"num_steps": 2}}, max_steps=-1)
    assert trainer.args.gradient_accumulation_steps == 2


def test_output_folder_and_card_examples_are_where_they_are_said_to_be(tmp_path):
    trainer = make(tmp_path / "a" / "b", card_examples=["a very good film"])
    trainer.save_model()
    assert (tmp_path / "a" / "b" / "model.safetensors").is_file()
    assert "a very good film" in (tmp_path / "a" / "b" / "README.md").read_text()


def test_a_batch_that_does_not_fit_is_halved(tmp_path, monkeypatch):
    trainer = make(tmp_path, auto_find_batch_size=True)
    forward = trainer.model.forward

    def fails_above_two(**kwargs):
        if len(kwargs["input_ids"]) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return forward(**kwargs)

    monkeypatch.setattr(trainer.model, "forward", fails_above_two)
    trainer.train()
    assert trainer._train_batch_size == 2


def test_a_balancer_starts_again_with_a_halved_batch(tmp_path, monkeypatch):
    trainer = make(tmp_path, auto_find_batch_size=True, balancing="dwa", max_steps=4)
    forward, passes = trainer.model.forward, []

    def fails_at_the_third_step(**kwargs):
        passes.append(len(kwargs["input_ids"]))
        if passes[-1] > 2 and len(passes) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return forward(**kwargs)

    monkeypatch.setattr(trainer.model, "forward", fails_at_the_third_step)
    begun = []
    start = trainer._start_balancing
    monkeypatch.setattr(trainer, "_start_balancing", lambda: (start(), begun.append(trainer._balancing)))
    trainer.train()
    assert trainer._train_batch_size == 2
    assert len(set(map(id, begun))) == len(begun) > 1, "each attempt has its own"
    logged = [{k: v for k, v in row.items() if k.startswith("rows/")} for row in trainer.state.log_history]
    assert sum(next(row for row in logged if row).values()) == 2, "the failed attempt was counted"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((name, 0) for name in ("per_device_train_batch_size", "per_device_eval_batch_size")),
        ("gradient_accumulation_steps", 0),
        *((name, -1.0) for name in ("num_train_epochs", "learning_rate", "weight_decay", "max_grad_norm")),
        *((name, -1) for name in ("neftune_noise_alpha", "eval_delay", "dataloader_num_workers")),
        ("learning_rate", float("nan")),
    ],
)
def test_a_number_that_means_nothing_is_refused(tmp_path, name, value):
    with pytest.raises(ValueError, match=f"^{name} must be at least"):
        make(tmp_path, **{name: value})


@pytest.mark.parametrize("name", ["frozen_heads", "card_examples", "card_pictures"])
def test_a_text_is_not_taken_for_a_list_of_its_letters(tmp_path, name):
    with pytest.raises(ValueError, match=rf"Write {name}=\['mood'\]"):
        make(tmp_path, **{name: "mood"})
