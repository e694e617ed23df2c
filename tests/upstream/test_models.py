"""Transformers' ModelTesterMixin and ConfigTester on every family, with and without padding."""

import unittest

from upstream_tests.test_configuration_common import ConfigTester
from upstream_tests.test_modeling_common import ModelTesterMixin

from hf_mtl import MultiTaskConfig, MultiTaskModel
from tests.encoders import tiny_encoder
from tests.upstream.tester import FAMILIES, ModelTester, PaddedModel

#: These take the first output for a tensor: with labels it is the loss, without the logits by task.
WITH_LABELS = ("test_determinism", "test_retain_grad_hidden_states_attentions")
#: The mixin asks the class, which is one for all families.
WITHOUT_CHECKPOINTING = [name for name in FAMILIES if not tiny_encoder(name).supports_gradient_checkpointing]
EXCLUDED = {
    "test_correct_missing_keys": "A plain encoder's folder is refused by design: MultiTaskModel.from_encoder loads it.",
}
EXCLUDED_UNPADDED = {
    "test_can_set_attention_dynamically": "The encoder's config names the attention without padding, not 'sdpa'.",
}


class _Configs(ConfigTester):
    def create_and_test_config_with_num_labels(self):
        """Left out: a multi-task model has labels in its tasks alone."""


class _Suite(ModelTesterMixin):
    """The mixin, with the family's tester and the exclusions."""

    family: str

    def setUp(self):
        self.model_tester = ModelTester(self)
        excluded = EXCLUDED if self.all_model_classes == (PaddedModel,) else {**EXCLUDED, **EXCLUDED_UNPADDED}
        if self._testMethodName in excluded:
            self.skipTest(excluded[self._testMethodName])
        is_16_bit = any(f"_{kind}_" in self._testMethodName for kind in ("fp16", "bf16"))
        if self.family == "deberta" and is_16_bit and "eager_matches_sdpa" in self._testMethodName:
            self.skipTest("Stock DeBERTa (5.23) keeps biases in float32 when it is loaded in 16 bits, and fails.")
        if "gradient_checkpointing" in self._testMethodName and self.family in WITHOUT_CHECKPOINTING:
            self.skipTest("The family's encoder supports no gradient checkpointing, nor does a model on it.")

    def _prepare_for_class(self, inputs_dict, model_class, return_labels=False):
        inputs = super()._prepare_for_class(inputs_dict, model_class)
        if return_labels or self._testMethodName in WITH_LABELS:
            inputs["labels"] = self.model_tester.labels(self.model_tester.get_config())
        return inputs

    def test_config(self):
        tasks = self.model_tester.get_config().to_dict()["tasks"]
        _Configs(self, config_class=MultiTaskConfig, has_text_modality=False, tasks=tasks).run_common_tests()


for _family in FAMILIES:
    for _kind, _model in {"Unpadded": MultiTaskModel, "Padded": PaddedModel}.items():
        _name = f"{_kind}_{_family.replace('-', '_')}"
        globals()[_name] = type(
            _name,
            (_Suite, unittest.TestCase),
            {"family": _family, "all_model_classes": (_model,), "__module__": __name__},
        )
