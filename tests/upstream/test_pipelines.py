"""Transformers' PipelineTesterMixin on the view of a task, `MultiTaskModel.for_task`, in Transformers' own pipelines.

The tests of single pipelines, which the mixin looks up by name, are not in the source distribution: what they check of
an answer is written down here.
"""

import tempfile
import unittest
from pathlib import Path
from unittest import mock

import torch
from transformers import pipeline
from upstream_tests import test_pipeline_mixin
from upstream_tests.test_pipeline_mixin import PipelineTesterMixin

from hf_mtl import MultiTaskConfig, MultiTaskModel
from tests.conftest import make_tokenizer
from tests.upstream.tester import FAMILIES, ModelTester, PaddedModel

#: Task of Transformers' pipelines -> a task of the model under test, a text, and the keys of an answer.
TASKS = {
    "text-classification": ("topic", "a good film", {"label", "score"}),
    "token-classification": ("tags", "anna was in paris", {"entity", "score", "index", "word", "start", "end"}),
    "fill-mask": ("filled", "a [MASK] film", {"score", "token", "token_str", "sequence"}),
}
DTYPES = {"float32": torch.float32, "float16": torch.float16}


class _Checks:
    """What the tests of one pipeline give the mixin."""

    task: str

    def get_test_pipeline(self, model, tokenizer, dtype="float32"):
        model.multi_task.to(DTYPES[dtype])
        text = TASKS[self.task][1]
        return pipeline(self.task, model=model, tokenizer=tokenizer), [text, f"{text} by bob"]

    def run_pipeline_test(self, answering, examples):
        keys = TASKS[self.task][2]
        for answers in (answering(examples[0]), *answering(examples)):
            assert answers
            for answer in [answers] if isinstance(answers, dict) else answers:
                assert answer.keys() == keys
                assert 0 <= answer["score"] <= 1


class TextClassification(_Checks):
    task = "text-classification"


class TokenClassification(_Checks):
    task = "token-classification"


class FillMask(_Checks):
    task = "fill-mask"


CHECKS = {f"{__name__}.{check.__name__}": check.task for check in (TextClassification, TokenClassification, FillMask)}


class View:
    """Stands for a stock class of one task: it loads a saved multi-task model and returns the task's view."""

    config_class = MultiTaskConfig
    model_class: type[MultiTaskModel]
    task: str

    @classmethod
    def from_pretrained(cls, folder, revision=None, use_safetensors=True):
        return cls.model_class.from_pretrained(folder).for_task(cls.task)


class _Suite(PipelineTesterMixin):
    family: str
    model_class: type[MultiTaskModel]

    def setUp(self):
        self.pipeline_model_mapping = {}
        tested = self._testMethodName.removeprefix("test_pipeline_").removesuffix("_fp16").replace("_", "-")
        if tested not in TASKS:
            self.skipTest("The model answers texts: three of Transformers' pipelines take the view of a task.")
        config = ModelTester(self).get_config()
        torch.manual_seed(0)
        model = self.model_class(config)
        names = {task.name for task in config.tasks}
        own = {task: values[0] for task, values in TASKS.items() if values[0] in names}
        self.pipeline_model_mapping |= {
            task: type(f"Tiny_{name}", (View,), {"model_class": self.model_class, "task": name})
            for task, name in own.items()
        }
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        known = {}
        for name in own.values():
            folder = Path(temporary.name) / config.model_type / f"Tiny_{name}"
            model.save_pretrained(folder)
            make_tokenizer().save_pretrained(folder)
            known[f"Tiny_{name}"] = {"tokenizer_classes": ["PreTrainedTokenizerFast"], "processor_classes": []}
        mapping = {
            task: {"test": next((path for path, own_task in CHECKS.items() if own_task == task), values["test"])}
            for task, values in test_pipeline_mixin.pipeline_test_mapping.items()
        }
        for name, value in {
            "TRANSFORMERS_TINY_MODEL_PATH": temporary.name,
            "tiny_model_summary": known,
            "pipeline_test_mapping": mapping,
        }.items():
            patch = mock.patch.object(test_pipeline_mixin, name, value)
            patch.start()
            self.addCleanup(patch.stop)


for _family in FAMILIES:
    for _kind, _model in {"Unpadded": MultiTaskModel, "Padded": PaddedModel}.items():
        _name = f"{_kind}_{_family.replace('-', '_')}"
        globals()[_name] = type(
            _name, (_Suite, unittest.TestCase), {"family": _family, "model_class": _model, "__module__": __name__}
        )
