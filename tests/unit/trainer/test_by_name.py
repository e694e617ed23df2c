"""A checkpoint fits the training that it continues by names: in any order, or it is refused before the first step."""

import dataclasses
import json
import random
import shutil
from dataclasses import replace

import pytest
import torch
from datasets import Dataset

from hf_mtl import MultiTaskModel, MultiTaskTrainer, MultiTaskTrainingArguments, TaskConfig
from hf_mtl.trainer import _trained_on
from hf_mtl.trainer._trained_on import TRAINED_ON, differences
from hf_mtl.trainer._whole import PARAMETER_NAMES
from tests.encoders import tiny_encoder
from tests.trainers import TASKS, make_data

STEPS = 9
KWARGS = {"max_steps": STEPS, "eval_strategy": "steps", "eval_steps": 3, "max_grad_norm": 0.5}


def model_of(tasks=TASKS, **kwargs):
    torch.manual_seed(5)
    return MultiTaskModel.from_encoder(tiny_encoder(**kwargs), tasks)


@pytest.fixture
def trained(build, tmp_path, data):
    """Train with a checkpoint after some steps; return the weights at the end, by name."""

    def trained(**kwargs):
        trainer = build(model_of(), evaluation=data, save_steps=4, **{**KWARGS, **kwargs})
        trainer.train()
        return dict(trainer.model.named_parameters())

    return trained


def resume(build, tmp_path, tasks=TASKS, train=None, model=None, **kwargs):
    trainer = build(model or model_of(tasks), train=train, evaluation=train, save_strategy="no", **{**KWARGS, **kwargs})
    trainer.train(resume_from_checkpoint=str(tmp_path / "out" / "checkpoint-4"))
    return trainer


@pytest.mark.parametrize("batching", ["mixed", "homogeneous"])
def test_any_order_of_tasks_and_datasets_ends_with_the_same_weights(build, trained, tmp_path, data, batching):
    expected = trained(batching=batching, balancing="dwa")
    shuffled = random.Random(batching)
    for _ in range(3):
        tasks, names = shuffled.sample(TASKS, len(TASKS)), shuffled.sample(sorted(data), len(data))
        trainer = resume(
            build, tmp_path, tasks, {name: data[name] for name in names}, batching=batching, balancing="dwa"
        )
        found = dict(trainer.model.named_parameters())
        assert found.keys() == expected.keys()
        assert [name for name in expected if not torch.equal(found[name], expected[name])] == []


def moments(trainer):
    state = trainer.optimizer.optimizer.state
    return {n: state[p]["exp_avg"] for n, p in trainer.model.named_parameters() if p in state}


def test_optimizer_built_in_another_order_finds_its_moments_and_rates_by_name(build, tmp_path, data):
    def with_groups(model, order):
        heads, encoder = list(model.heads.parameters()), list(model.encoder.parameters())
        groups = [{"params": heads[::order], "lr": 1e-3}, {"params": encoder[::order], "lr": 1e-4}]
        optimizer = torch.optim.AdamW(groups[::order], weight_decay=0.0)
        return {"optimizers": (optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 / (1 + step)))}

    one, two = model_of(), model_of()
    first = build(one, save_steps=4, trainer_kwargs=with_groups(one, -1), max_steps=4)
    first.train()
    names = json.loads((tmp_path / "out" / "checkpoint-4" / PARAMETER_NAMES).read_text())
    assert {name for group in names for name in group} == {name for name, _ in one.named_parameters()}
    second = build(two, save_strategy="no", trainer_kwargs=with_groups(two, 1), max_steps=4)
    second.train(resume_from_checkpoint=str(tmp_path / "out" / "checkpoint-4"))  # which trains no further step
    expected, found = moments(first), moments(second)
    assert len(expected) > 20
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert second.lr_scheduler.base_lrs == [1e-3, 1e-4]
    assert [group["lr"] for group in second.optimizer.param_groups] == [1e-3 / 5, 1e-4 / 5]


def relabelled(name, labels):
    return [replace(task, labels=labels) if task.name == name else task for task in TASKS]


def changed(data, name, column, row, value):
    values = data[name].to_dict()
    values[column][row] = value
    return {**data, name: Dataset.from_dict(values)}


def added(tasks):
    return [*tasks, TaskConfig("tone", "sentiment", labels=["a", "b"])]


# For each difference: the tasks, the data and the arguments of the resumed training, and what the refusal says.
DIFFERENCES = {
    "labels in another order": (relabelled("mood", ["good", "bad"]), None, {}, r"task 'mood' has labels.*\"good\""),
    "a task added": (added(TASKS), None, {}, r"task 'tone' was not trained"),
    "a task removed": (TASKS[:3], ("snips", "sst"), {}, r"task 'similarity' is missing.*dataset 'sts' is missing"),
    "another seed": (TASKS, None, {"seed": 7}, r"seed is 7, was 42"),
    "a dataset removed": (TASKS, ("snips", "sst"), {}, r"dataset 'sts' is missing"),
    "another value": (TASKS, ("sst", "text", 3, "another text"), {}, r"dataset 'sst' holds other values.*'text'"),
    "another label": (TASKS, ("snips", "intent", 0, "none"), {}, r"dataset 'snips' holds other values.*'intent'"),
    "another sampling": (TASKS, None, {"sampling": "uniform"}, r"sampling: strategy is.*Uniform"),
    "another option": (
        TASKS,
        None,
        {"sampling_options": {"weights": {"sst": 2.0}}},
        r"sampling: rules: weights: sst is 2\.0, was null",
    ),
    "another batching": (TASKS, None, {"batching": "homogeneous"}, r"batching is \"homogeneous\""),
    "another balancing": (TASKS, None, {"balancing": "dwa"}, r"balancing is"),
    "another step": (TASKS, None, {"gradient_accumulation_steps": 2}, r"rows of an optimizer step is 16, was 8"),
    "another rate": (TASKS, None, {"learning_rate": 1e-3}, r"learning_rate is 0.001, was"),
}

# Arguments that a training may be resumed with other values of, by the reason. Names that end in _ stand for all that
# begin with them.
NOT_COMPARED = {
    "how long it trains": "num_train_epochs max_steps do_ resume_from_checkpoint ignore_data_skip",
    "compared as rows of a step": "per_device_train_batch_size gradient_accumulation_steps auto_find_batch_size",
    "compared with all their options": "sampling sampling_options balancing balancing_options augmentation methods",
    "what is scored and saved": "eval_ per_device_eval_batch_size prediction_loss_only batch_eval_metrics "
    "include_ logging_ log_ report_to run_name project trackio_ save_ enable_jit_checkpoint push_to_hub hub_ "
    "load_best_model_at_end metric_for_best_model greater_is_better output_dir disable_tqdm card_examples "
    "card_pictures tune_thresholds calibrate gradient_cosine_steps restore_callback_states_from_checkpoint "
    "skip_memory_metrics debug",
    "the machine, and how fast it is": "use_cpu bf16 fp16 bf16_full_eval fp16_full_eval tf32 precision torch_ unpad "
    "fast_dropout reuse_memory activation_checkpointing activation_checkpointing_kwargs gradient_checkpointing "
    "gradient_checkpointing_kwargs use_liger_kernel liger_kernel_config use_cache full_determinism accelerator_config "
    "parallelism_config dataloader_ ddp_ fsdp fsdp_config deepspeed local_rank",
    "what ends it": "on_divergence",
    "refused or unread": "label_smoothing_factor average_tokens_across_devices remove_unused_columns label_names "
    "train_sampling_strategy length_column_name",
}


def test_every_argument_is_compared_or_says_why_not():
    names = {field.name for field in dataclasses.fields(MultiTaskTrainingArguments) if field.init}
    free = [entry for entries in NOT_COMPARED.values() for entry in entries.split()]
    missed = set()
    for name in names - set(_trained_on._ARGUMENTS):
        if not any(name == entry or (entry.endswith("_") and name.startswith(entry)) for entry in free):
            missed.add(name)
    assert missed == set(), "may a training be resumed with another value of it?"
    assert set(_trained_on._ARGUMENTS) <= names


OTHER_VALUES = {
    "warmup_steps": 3,
    "max_grad_norm": 0.25,
    "adam_beta1": 0.5,
    "adam_epsilon": 1e-3,
    "neftune_noise_alpha": 5.0,
    "lr_scheduler_kwargs": {"num_cycles": 2},
    "optim_args": "eps=1e-3",
}


def test_another_value_of_what_changes_a_step_is_named(build):
    trainer = build()
    before = trainer._training_facts()
    assert differences(before, trainer._training_facts()) == []
    for name, value in OTHER_VALUES.items():
        given = getattr(trainer.args, name)
        setattr(trainer.args, name, value)
        (found,) = differences(before, trainer._training_facts())
        assert found.startswith(f"{name} is ")
        setattr(trainer.args, name, given)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory, tokenizer):
    folder = tmp_path_factory.mktemp("by_name") / "out"
    args = MultiTaskTrainingArguments(
        str(folder),
        use_cpu=True,
        disable_tqdm=True,
        precision="float32",
        batching="mixed",
        max_steps=4,
        save_steps=4,
        per_device_train_batch_size=8,
    )
    MultiTaskTrainer(model_of(), args, make_data(), make_data(), tokenizer).train()
    return folder / "checkpoint-4"


@pytest.mark.parametrize("what", DIFFERENCES)
def test_difference_is_refused_before_anything_is_loaded(build, data, checkpoint, what):
    tasks, data_change, kwargs, message = DIFFERENCES[what]
    used = data
    if data_change and len(data_change) == 4:
        used = changed(data, *data_change)
    elif data_change:
        used = {name: data[name] for name in data_change}
    # The task that was added has no rows.
    trainer = build(model_of(tasks), used, used, {"check_data": False}, max_steps=8, **kwargs)
    before = {name: p.clone() for name, p in trainer.model.named_parameters()}
    with pytest.raises(ValueError, match=rf"(?s){message}.*from_pretrained\("):
        trainer.train(resume_from_checkpoint=str(checkpoint))
    assert all(torch.equal(before[name], p) for name, p in trainer.model.named_parameters())
    assert trainer.state.global_step == 0


def test_encoder_and_tokenizer_of_another_kind_are_refused(build, data, checkpoint):
    trainer = build(model_of(hidden_act="relu"), train=data, max_steps=8)
    with pytest.raises(ValueError, match="the encoder is another one"):
        trainer.train(resume_from_checkpoint=str(checkpoint))


def test_rows_that_are_scored_count_only_where_the_best_model_is_kept(build, data, checkpoint):
    other = {**data, "sst": data["sst"].select(range(4))}
    build(model_of(), train=data, evaluation=other, max_steps=5).train(resume_from_checkpoint=str(checkpoint))
    facts = json.loads((checkpoint / TRAINED_ON).read_text())
    assert facts["train"]["sst"]["rows"] == 16
    assert facts["tasks"][2]["labels"] == ["bad", "good"]


@pytest.mark.parametrize("tasks", [TASKS[::-1], relabelled("mood", ["good", "bad"])])
def test_checkpoint_without_the_file_is_checked_by_its_config(build, data, checkpoint, tmp_path, tasks):
    old = tmp_path / "old" / "checkpoint-4"
    shutil.copytree(checkpoint, old)
    for name in (TRAINED_ON, PARAMETER_NAMES):
        (old / name).unlink()
    trainer = build(model_of(tasks), train=data, max_steps=8)
    if {task.name: task.labels for task in tasks} == {task.name: task.labels for task in TASKS}:
        trainer.train(resume_from_checkpoint=str(old))
        assert [task.name for task in trainer.model.tasks] == [task.name for task in TASKS]
    else:
        with pytest.raises(ValueError, match="task 'mood' has labels"):
            trainer.train(resume_from_checkpoint=str(old))
