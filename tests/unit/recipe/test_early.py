"""What is found wrong with a recipe without torch is what would be found with it, in the same words."""

from enum import Enum

import pytest
from transformers import TrainingArguments

from hf_mtl import MultiTaskTrainingArguments
from hf_mtl.arguments import _stock_fields, kinds_of_arguments, kinds_of_fields
from hf_mtl.configuration import TASK_TYPES
from hf_mtl.heads import HEADS
from hf_mtl.recipe import ReadRecipe, Recipe, RecipeError

#: Changes of a recipe that is right but for its data file, and words of what is wrong with them.
MISTAKES = {
    "no field": ({"training": {"learning_rat": 1}}, r"no such field\. Did you mean 'learning_rate'\?"),
    "a type": ({"training": {"max_steps": "many"}}, "expected a whole number, found 'many'"),
    "a type of ours": ({"training": {"calibrate": "no"}}, "expected true or false"),
    "an enumeration": ({"training": {"lr_scheduler_type": "cosin"}}, "Did you mean 'cosine'"),
    "an optimizer": ({"training": {"optim": "adamw_torhc"}}, "Did you mean 'adamw_torch'"),
    "a strategy": ({"training": {"save_strategy": "epohc"}}, "Did you mean 'epoch'"),
    "a field of scripts": ({"training": {"do_train": True}}, "`hf-mtl train` trains"),
    "a choice": ({"training": {"batching": "mixd"}}, "Did you mean 'mixed'"),
    "a number": ({"training": {"trunk_learning_rate": -1}}, "trunk_learning_rate must be a number of at least 0"),
    "an encoder's number": ({"training": {"frozen_layers": {"txt": 1}}}, "no encoder of the model reads"),
    "without effect": ({"training": {"unfreeze_at_step": 2}}, "nothing is frozen until then"),
    "not supported": ({"training": {"use_liger_kernel": True}}, "use_liger_kernel=True is not supported"),
    "too small": ({"training": {"max_grad_norm": -1.0}}, "max_grad_norm must be at least 0"),
    "no batch": ({"training": {"per_device_train_batch_size": 0}}, "must be at least 1"),
    "a sampler": ({"sampling": {"strategy": "tempertaure"}}, "Did you mean 'temperature'"),
    "a sampler's option": ({"sampling": {"strategy": "temperature", "temp": 2}}, "temp"),
    "a sampler's dataset": ({"sampling": {"strategy": "fixed", "shares": {"flims": 1}}}, "Did you mean 'films'"),
    "a balancer": ({"balancing": {"method": "uncertainy"}}, "Did you mean 'uncertainty'"),
    "a balancer's option": ({"balancing": {"method": "dwa", "temperature": -1}}, "temperature must be"),
    "an augmentation": ({"augmentation": {"word-deleton": {}}}, "Did you mean 'word-deletion'"),
    "an augmentation's option": ({"augmentation": {"word-deletion": {"p": 2}}}, "p must be a number of at least 0"),
    "a method": ({"methods": {"r-dorp": {}}}, "Did you mean 'r-drop'"),
    "a method's option": ({"methods": {"r-drop": {"alhpa": 1}}}, "Did you mean 'alpha'"),
    "no teacher": ({"methods": {"distillation": {}}}, "teachers must be a folder"),
    "a preset": ({"preset": "qualty"}, "preset: unknown preset 'qualty'. Did you mean 'quality'"),
    "an average": ({"average": {"kind": "emma"}}, "kind must be one of 'ema', 'tail'"),
    "a task's type": ({"tasks": {"mood": {"type": "sentimant"}}}, "Did you mean 'sentiment'"),
    "a task's field": ({"tasks": {"mood": {"weihgt": 1}}}, "Did you mean 'weight'"),
    "no encoder": ({"encoder": "./none"}, r"no folder '\./none'"),
    "no data": ({}, "no file 'none.csv'"),
}


def values_of(changes):
    source = {"load": {"path": "csv", "data_files": {"train": "none.csv"}}, "columns": {"text": "text", "mood": "mood"}}
    return {"encoder": "name", "datasets": {"films": source}, **changes}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_has_the_same_words_without_torch(name):
    changes, words = MISTAKES[name]
    with pytest.raises(RecipeError, match=words) as early:
        ReadRecipe.from_dict(values_of(changes)).check_early()
    with pytest.raises(RecipeError) as full:
        Recipe.from_dict(values_of(changes)).prepare()
    assert (early.value.where, early.value.message) == (full.value.where, full.value.message)


def test_a_recipe_whose_data_are_read_needs_no_encoder(tmp_path):
    (tmp_path / "none.csv").write_text("text,mood\ngood,a\n")
    recipe = ReadRecipe.from_dict(values_of({"encoder": "./none"}), tmp_path)
    recipe.check_early(trains=False)
    with pytest.raises(RecipeError, match=r"no folder '\./none'"):
        recipe.check_early()


def shown(kinds):
    """Return types as they are compared: enumerations by their members, other classes by their names."""
    return {
        name: [
            (kind.__name__, [(member.name, member.value) for member in kind])
            if isinstance(kind, type) and issubclass(kind, Enum)
            else getattr(kind, "__name__", kind)
            for kind in of_field
        ]
        for name, of_field in kinds.items()
    }


def test_the_fields_that_are_read_from_source_are_those_of_the_class():
    assert shown(kinds_of_arguments()) == shown(kinds_of_fields(MultiTaskTrainingArguments))


def test_a_class_whose_source_cannot_be_read_is_imported(monkeypatch):
    def fields(folder):
        raise LookupError("another shape")

    monkeypatch.setattr(_stock_fields, "_fields", fields)
    assert _stock_fields.kinds_of_stock_fields.__wrapped__() == kinds_of_fields(TrainingArguments)


def test_the_task_types_that_are_known_without_torch_are_those_that_have_heads():
    assert list(TASK_TYPES) == list(HEADS)
