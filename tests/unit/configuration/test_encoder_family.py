"""An encoder family that Transformers does not know is refused with near names, not with all of them."""

import pytest

from hf_mtl import MultiTaskConfig


@pytest.mark.parametrize(("family", "near"), [("brt", "Did you mean 'bert'"), ("zzzzzz", "does not know. Install")])
def test_an_unknown_family_is_named_with_near_ones(family, near):
    with pytest.raises(ValueError, match="model_type") as caught:
        MultiTaskConfig.from_dict({"model_type": "multi-task", "encoder_config": {"model_type": family}, "tasks": []})
    assert near in str(caught.value)
    assert len(str(caught.value)) < 300
