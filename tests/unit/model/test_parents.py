"""The classes that `MultiTaskModel` is put together of: none relies on another, so their order does not matter."""

import ast
import inspect
import itertools
import textwrap

import pytest
from transformers import PreTrainedModel

from hf_mtl import MultiTaskModel

PARENTS = MultiTaskModel.__bases__


def own_names(parent):
    """Return what a class defines or declares, `PreTrainedModel`'s names left out unless it overrides them."""
    declared = set(inspect.get_annotations(parent))
    for node in ast.walk(tree_of(parent)):
        # What the whole model has, said for the type checker alone.
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            declared |= {each.name for each in node.body if isinstance(each, ast.FunctionDef)}
            declared |= {ast.unparse(each.target) for each in node.body if isinstance(each, ast.AnnAssign)}
    return set(vars(parent)) | declared


def tree_of(parent):
    return ast.parse(textwrap.dedent(inspect.getsource(parent)))


def test_every_parent_is_a_model_by_itself():
    assert all(parent.__bases__ == (PreTrainedModel,) for parent in PARENTS)


@pytest.mark.parametrize(("one", "other"), list(itertools.combinations(PARENTS, 2)))
def test_no_two_parents_define_the_same_name(one, other):
    defined = [{n for n in vars(parent) if not n.startswith("__")} for parent in (one, other)]
    # Class attributes that Transformers sets on every subclass.
    assert {name for name in defined[0] & defined[1] if callable(getattr(one, name))} == set()


@pytest.mark.parametrize("parent", PARENTS)
def test_parents_use_declared_names_alone(parent):
    known = own_names(parent) | set(dir(PreTrainedModel)) | {"config", "training"}
    used = {
        node.attr
        for node in ast.walk(tree_of(parent))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")
    }
    assert used <= known, used - known
