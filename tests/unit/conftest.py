"""A trainer on small data, with any argument changed."""

from __future__ import annotations

import copy
import functools

import pytest
import torch

from hf_mtl import MultiTaskModel, MultiTaskTrainer, MultiTaskTrainingArguments
from tests.encoders import tiny_encoder
from tests.trainers import TASKS, make_data


@functools.cache
def _data():
    return make_data()


@functools.cache
def _model():
    torch.manual_seed(5)
    return MultiTaskModel.from_encoder(tiny_encoder(), TASKS)


@pytest.fixture
def data():
    return dict(_data())


@pytest.fixture
def build(tmp_path, tokenizer, data):
    def build(model=None, train=data, evaluation=data, trainer_kwargs=None, **kwargs):
        torch.manual_seed(5)
        kwargs = {"num_train_epochs": 1, "per_device_train_batch_size": 8, "batching": "mixed", **kwargs}
        kwargs = {"precision": "float32", **kwargs}
        if not {"save_steps", "save_strategy"} & kwargs.keys():
            kwargs["save_strategy"] = "no"  # a checkpoint costs as much as four steps
        arguments = MultiTaskTrainingArguments(
            str(tmp_path / "out"), use_cpu=True, disable_tqdm=True, logging_steps=1, **kwargs
        )
        model = model or copy.deepcopy(_model())
        return MultiTaskTrainer(model, arguments, train, evaluation, tokenizer, **(trainer_kwargs or {}))

    return build
