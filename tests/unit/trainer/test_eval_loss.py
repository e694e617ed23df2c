"""``eval_loss`` is the loss that training lessens: the tasks' mean losses by their shares of rows and their weights."""

import dataclasses

import pytest
import torch

from hf_mtl import MultiTaskModel
from tests.encoders import tiny_encoder
from tests.trainers import TASKS

WEIGHTS = {"intent": 0.5, "slots": 2.0, "mood": 3.0, "similarity": 0.0}


def weighted(weights):
    torch.manual_seed(5)
    return MultiTaskModel.from_encoder(
        tiny_encoder(), [dataclasses.replace(task, weight=weights[task.name]) for task in TASKS]
    )


@pytest.mark.parametrize("weights", [WEIGHTS, dict.fromkeys(WEIGHTS, 1.0)])
def test_eval_loss_weighs_each_task_by_its_weight_and_its_share_of_rows(build, weights):
    metrics = build(weighted(weights)).evaluate()
    rows = {"intent": 24, "slots": 24, "mood": 16, "similarity": 8}
    total = sum(rows.values())
    expected = sum(weights[t] * rows[t] / total * metrics[f"eval_{t}_loss"] for t in rows)
    assert metrics["eval_loss"] == pytest.approx(expected, rel=1e-6)
