"""FSDP2 on two processes trains as one does: accelerate is made to shard on CPUs, where it would not by itself.

Run by `make test-sharded`: it costs 20 seconds, and overrides what is private to accelerate.
"""

import os

import pytest
import torch
from safetensors.torch import load_file

from tests.ranks import run_on_ranks
from tests.trainers import make_data, model_without_dropout

_SCRIPT = """
from tests.ranks import rank_and_folder, save
from tests.unit.trainer.test_sharded import shard_on_cpus, trained

rank, folder = rank_and_folder()
shard_on_cpus()
# BERT names its embeddings as a unit, and accelerate 1.15 then shards the table within them twice.
save(rank, folder, trained(folder, fsdp=True, fsdp_config={"transformer_layer_cls_to_wrap": ["BertLayer"]}))
"""


def shard_on_cpus():
    from accelerate.state import AcceleratorState, PartialState
    from accelerate.utils import DistributedType

    from hf_mtl.trainer import _refused

    _refused._refuse_parallelism = lambda args: None
    build = AcceleratorState.__init__

    def init(self, *args, fsdp_plugin=None, **kwargs):
        build(self, *args, fsdp_plugin=fsdp_plugin, **kwargs)
        if fsdp_plugin is not None and self.distributed_type == DistributedType.MULTI_CPU:
            self.distributed_type, self.fsdp_plugin = DistributedType.FSDP, fsdp_plugin
            PartialState._shared_state["distributed_type"] = DistributedType.FSDP

    AcceleratorState.__init__ = init


def trained(folder, **kwargs):
    """Train three steps, save, and return the kind of the weights and a score."""
    from hf_mtl import MultiTaskTrainer, MultiTaskTrainingArguments
    from tests.conftest import make_tokenizer

    given = {"use_cpu": True, "disable_tqdm": True, "precision": "float32", "save_strategy": "no", "max_steps": 3}
    args = MultiTaskTrainingArguments(str(folder), optim="sgd", learning_rate=0.1, **given, **kwargs)
    args.per_device_train_batch_size = 8 // args.world_size
    trainer = MultiTaskTrainer(model_without_dropout().double(), args, make_data(), make_data(), make_tokenizer())
    trainer.train()
    kind = type(next(trainer.model_wrapped.parameters())).__name__
    loss = trainer.evaluate()["eval_loss"]
    trainer.save_model(str(folder / "final"))
    return kind, loss


@pytest.mark.skipif("HF_MTL_TEST_SHARDED" not in os.environ, reason="costs 20 seconds: make test-sharded")
def test_two_ranks_of_fsdp_train_score_and_save_as_one_process(tmp_path):
    kind, loss = trained(tmp_path / "one")
    assert kind == "Parameter"
    for sharded, found in run_on_ranks(2, _SCRIPT, tmp_path):
        assert sharded == "DTensor"
        assert abs(found - loss) < 1e-9
    one, two = (load_file(folder / "final" / "model.safetensors") for folder in (tmp_path / "one", tmp_path))
    assert one.keys() == two.keys()
    for name, value in one.items():
        assert torch.allclose(value, two[name], rtol=1e-9, atol=1e-12), name
