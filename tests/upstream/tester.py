"""What Transformers' test mixins ask of a model under test: configs and inputs of a tiny one, for each family."""

from __future__ import annotations

import copy
import unittest
from typing import Any

import torch
from transformers import set_seed

from hf_mtl import MultiTaskConfig, MultiTaskModel, TaskConfig
from hf_mtl.heads._vocabulary import fills_masks
from tests.encoders import tiny_config

__all__ = ["FAMILIES", "ModelTester", "PaddedModel"]

FAMILIES = (
    "bert", "roberta", "xlm-roberta", "distilbert", "electra", "albert", "deberta", "deberta-v2", "modernbert",
    "mpnet", "llama", "gpt2",
)  # fmt: skip
TASKS = (
    TaskConfig("topic", "sequence-classification", labels=["x", "y", "z"]),
    TaskConfig("tags", "token-classification", labels=["O", "B-x", "I-x"]),
    TaskConfig("value", "regression", pooling="attention", layers="mix"),
    TaskConfig("filled", "masked-lm"),
)


class PaddedModel(MultiTaskModel):
    """A model that runs padded whatever its family."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"unpad": False, **kwargs})


class ModelTester:
    """Makes configs and inputs.

    Args:
        parent: The test case, whose ``family`` says which encoder.
    """

    batch_size, seq_length = 3, 7
    hidden_size, num_hidden_layers, num_attention_heads = 32, 2, 4
    is_training = True

    def __init__(self, parent: unittest.TestCase) -> None:
        self.parent = parent
        self.family: str = parent.family  # type: ignore[attr-defined]

    def get_config(self) -> MultiTaskConfig:
        encoder = tiny_config(self.family)
        tasks = [task for task in TASKS if task.type != "masked-lm" or fills_masks(encoder)]
        return MultiTaskConfig(encoder_config=encoder, tasks=copy.deepcopy(tasks))

    def prepare_config_and_inputs_for_common(self) -> tuple[MultiTaskConfig, dict[str, torch.Tensor]]:
        set_seed(0)
        lengths = torch.tensor([[7], [4], [6]])
        mask = (torch.arange(self.seq_length)[None] < lengths).long()
        ids = torch.randint(5, 100, mask.shape)
        return self.get_config(), {"input_ids": torch.where(mask == 1, ids, 0), "attention_mask": mask}

    def labels(self, config: MultiTaskConfig) -> dict[str, torch.Tensor]:
        tags = torch.full((self.batch_size, self.seq_length), -100)
        tags[:, 1:3] = 1
        labels = {
            "topic": torch.tensor([0, 2, 1]),
            "tags": tags,
            "value": torch.tensor([0.5, 1.0, -1.0], dtype=torch.float64),
            "filled": tags,
        }
        return {task.name: labels[task.name] for task in config.tasks}
