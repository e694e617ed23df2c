"""What is overridden of Transformers' trainer still exists there and is called as before."""

import inspect
import re
from importlib.metadata import version
from pathlib import Path

import pytest
from transformers import Trainer

from hf_mtl import MultiTaskTrainer
from hf_mtl.trainer._seam import LAYERS, OVERRIDDEN

ROOT = Path(__file__).parents[3]
OWN = [cls for cls in MultiTaskTrainer.__mro__ if cls.__module__.startswith("hf_mtl.")]


def overridden():
    """Return each method of Transformers' that ours override, with the class that is called first."""
    names = {name for cls in OWN for name, value in vars(cls).items() if inspect.isfunction(value)}
    return sorted(name for name in names if hasattr(Trainer, name) and not name.startswith("__"))


def test_every_private_method_that_is_overridden_is_listed_with_its_reason():
    assert {name for name in overridden() if name.startswith("_")} == set(OVERRIDDEN)


def test_the_trainer_is_one_line_of_layers_that_are_listed_with_their_reason():
    assert [cls.__name__ for cls in reversed(OWN)] == list(LAYERS)
    assert all(len(cls.__bases__) == 1 for cls in OWN)
    assert OWN[-1].__bases__ == (Trainer,)


@pytest.mark.parametrize("name", sorted(OVERRIDDEN))
def test_an_overridden_private_method_exists_and_is_called_by_transformers(name):
    assert callable(getattr(Trainer, name, None)), f"Transformers {version('transformers')} has no Trainer.{name}"
    source = inspect.getsource(Trainer)
    assert len(re.findall(rf"self\.{name}\b", source)) > 0, (
        f"nobody calls Trainer.{name}: what it did is done elsewhere"
    )


@pytest.mark.parametrize("name", overridden())
@pytest.mark.parametrize("cls", OWN, ids=lambda cls: cls.__name__)
def test_an_overridden_method_takes_what_transformers_takes(cls, name):
    own = vars(cls).get(name)
    if own is None:
        return
    ours, theirs = (inspect.signature(f).parameters for f in (own, getattr(Trainer, name)))
    kinds = {p.kind for p in ours.values()}
    if inspect.Parameter.VAR_KEYWORD in kinds:
        return
    missing = [p for p in theirs if p not in ours]
    assert not missing, f"{cls.__name__}.{name} lacks {missing} of transformers {version('transformers')}"
    shared = [p for p in ours if p in theirs]
    assert shared == list(theirs), f"{cls.__name__}.{name} takes its arguments in another order"
    for parameter in theirs:
        default = theirs[parameter].default
        needs_value = ours[parameter].default is inspect.Parameter.empty
        assert needs_value <= (default is inspect.Parameter.empty), f"{cls.__name__}.{name}({parameter}) has no default"


def test_transformers_has_an_upper_bound():
    requirement = re.search(r"^\s+(transformers\S+)$", (ROOT / "setup.cfg").read_text(), re.MULTILINE)[1]
    assert re.fullmatch(r"transformers>=5\.19,<5\.\d+", requirement), requirement
