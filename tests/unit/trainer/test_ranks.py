"""An optimizer step is the same however its rows are cut: over micro-batches, over processes, or both."""

import pytest
from datasets import Dataset
from transformers import TrainerCallback

from hf_mtl import MultiTaskTrainer, TaskConfig
from tests.conftest import make_tokenizer
from tests.image_encoders import colours, image_processor, tiny_image_encoder
from tests.ranks import arguments, run_on_ranks
from tests.trainers import TASKS, make_data, model_without_dropout

# Two rows of 64 label "topic", of which one comes in the first step: only one process sees it. Nothing labels "ghost".
ALL_TASKS = [
    *TASKS,
    TaskConfig("topic", "sequence-classification", labels=["film", "song"]),
    TaskConfig("ghost", "sequence-classification", labels=["a", "b"]),
    TaskConfig("colour", "image-classification", labels=["red", "green", "blue"]),
    TaskConfig("kind", "sequence-classification", labels=["a", "b"], inputs=["text", "image"]),
]
QUIET = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
#: (rows of a micro-batch, micro-batches) for each number of processes: always 32 rows.
CUTS = {1: [(32, 1), (8, 4)], 2: [(16, 1), (8, 2)]}


class FirstGradients(TrainerCallback):
    """Keeps the gradients of the first optimizer step."""

    def __init__(self):
        self.found = {}

    def on_pre_optimizer_step(self, args, state, control, model=None, **kwargs):
        self.found = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}


def gradients(folder, size, accumulation, **kwargs):
    """Train one step in float64; return its gradients, its loss, and this process's rows of each task."""
    keeper, titles = FirstGradients(), ["a good film", None, "a song"]
    trainer = MultiTaskTrainer(
        model_without_dropout(ALL_TASKS, image_encoder=tiny_image_encoder(**QUIET)).double(),
        arguments(
            folder,
            batching="mixed",
            per_device_train_batch_size=size,
            gradient_accumulation_steps=accumulation,
            max_steps=1,
            max_grad_norm=0.0,
            logging_steps=1,
            **kwargs,
        ),
        {
            **make_data(),
            "rare": Dataset.from_dict({"text": ["good film", "bad song"], "topic": ["film", "song"]}),
            "photos": colours(14).map(lambda row, i: {"text": titles[i % 3], "kind": "ab"[i % 2]}, with_indices=True),
        },
        None,
        make_tokenizer(),
        callbacks=[keeper],
        check_data=False,  # of a task without rows
        image_processor=image_processor(),
    )
    rows = dict.fromkeys([task.name for task in ALL_TASKS], 0)
    original = trainer.training_step

    def counting(model, inputs, *args, **kwargs):
        for name, labels in inputs["labels"].items():
            rows[name] += len(labels)
        return original(model, inputs, *args, **kwargs)

    trainer.training_step = counting
    trainer.train()
    loss = next(log["loss"] for log in trainer.state.log_history if "loss" in log)
    return keeper.found, loss, rows


_SCRIPT = """
from tests.ranks import rank_and_folder, save
from tests.unit.trainer.test_ranks import CUTS, gradients

rank, folder = rank_and_folder()
save(rank, folder, {
    (cut, checkpointing): gradients(folder, *cut, activation_checkpointing=checkpointing)
    for cut in CUTS[2] for checkpointing in (False, True)
})
"""


@pytest.fixture(scope="module")
def on_two_ranks(tmp_path_factory):
    # The gradient of the class token, [1, 1, H], has other strides than torch expects along its edges of length 1.
    allowed = "bucket_view.sizes() = [1, 1, 16]"
    return run_on_ranks(2, _SCRIPT, tmp_path_factory.mktemp("ranks"), allowed)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The step of 32 rows at once, in one process."""
    return gradients(tmp_path_factory.mktemp("whole"), *CUTS[1][0])


def assert_same_step(found, expected):
    (one, one_loss, _), (two, two_loss, _) = found, expected
    # The same parameters: a head without rows in the whole step has no gradient, not one of zeros, of which AdamW
    # would make a step of decay.
    assert set(one) == set(two)
    for name, value in two.items():
        error = float((one[name] - value).norm() / value.norm().clamp(min=1e-12))
        assert error <= 1e-6 or value.norm() < 1e-12, (name, error)
    assert one_loss == pytest.approx(two_loss, rel=1e-6)


def test_accumulated_step_equals_the_whole(whole, tmp_path):
    assert_same_step(gradients(tmp_path, *CUTS[1][1]), whole)


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("cut", CUTS[2])
def test_two_ranks_make_the_step_of_one(on_two_ranks, whole, cut, checkpointing):
    for rank in on_two_ranks:
        assert_same_step(rank[cut, checkpointing], whole)


def test_a_task_may_have_rows_on_one_rank_or_none(on_two_ranks, whole):
    for cut in CUTS[2]:
        rows = [rank[cut, False][2] for rank in on_two_ranks]
        assert sorted(counts["topic"] for counts in rows) == [0, 1]
        assert [counts["ghost"] for counts in rows] == [0, 0]
        assert {name: sum(counts[name] for counts in rows) for name in whole[2]} == whole[2]
    assert any("topic" in name for name in whole[0])
    assert any(name.startswith("image_encoder.") for name in whole[0])
    assert whole[2]["colour"] == whole[2]["kind"] > 0
    assert any(name.startswith("heads.kind.") for name in whole[0])
    assert not any("ghost" in name for name in whole[0])
