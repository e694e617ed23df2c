"""Models between a pretrained encoder and a trained one: exact at both ends, branches with what they began with."""

import copy
import math

import pytest
import torch
from typer.testing import CliRunner

from hf_mtl import MultiTaskModel, TaskConfig
from hf_mtl.cli import app
from hf_mtl.encoder import layer_list
from hf_mtl.surgery import FACTORS, choose_factor, interpolate_encoder
from tests.encoders import tiny_encoder
from tests.unit.recipe.recipe_files import recipe_values, write_data, write_recipe

TASKS = [
    TaskConfig("intent", "sequence-classification", labels=["play", "book", "none"], branch="sentences"),
    TaskConfig("slots", "token-classification", labels=["O", "B-city"]),
]


def trained(family="bert", branches=None, seed=3):
    """Return a pretrained encoder, and a model of it whose weights have moved."""
    pretrained = tiny_encoder(family, 0)
    model = MultiTaskModel.from_encoder(
        copy.deepcopy(pretrained), TASKS, branches={"sentences": 1} if branches is None else branches
    )
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return pretrained, model


def states(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


@pytest.mark.parametrize("family", ["bert", "modernbert", "t5"])
def test_every_weight_of_encoder_and_branches_lies_between_and_heads_stay(family):
    pretrained, model = trained(family)
    before, origin = states(model), pretrained.state_dict()
    path, layers = layer_list(pretrained)
    top = f"{path}.{len(layers) - 1}"
    for factor in (0, 0.3, 1):
        found = states(interpolate_encoder(model, pretrained, factor))
        assert found.keys() == before.keys()
        seen = 0
        for name, value in found.items():
            part, _, rest = name.partition(".")
            if part == "heads" or not value.is_floating_point():
                assert torch.equal(value, before[name]), name
                continue
            # Branches are named branches.<name>.<layer>.
            source = rest if part == "encoder" else f"{top}.{rest.split('.', 2)[2]}"
            expected = (1 - factor) * origin[source].double() + factor * before[name].double()
            assert torch.equal(value, expected.to(value.dtype)), name
            seen += part == "branches"
        assert seen > 0
    for name, value in states(model).items():
        assert torch.equal(value, before[name]), name


def test_an_albert_whose_layers_are_no_list_is_interpolated_without_branches():
    pretrained = tiny_encoder("albert")
    model = MultiTaskModel.from_encoder(copy.deepcopy(pretrained), [TASKS[1]])
    found = interpolate_encoder(model, pretrained, 0.5)
    for name, value in found.encoder.state_dict().items():
        torch.testing.assert_close(value, pretrained.state_dict()[name])


def test_a_multi_task_model_gives_its_encoder(tmp_path):
    pretrained, model = trained()
    MultiTaskModel.from_encoder(copy.deepcopy(pretrained), [TASKS[1]]).save_pretrained(tmp_path)
    one, two = interpolate_encoder(model, pretrained, 0.5), interpolate_encoder(model, tmp_path, 0.5)
    for name, value in one.state_dict().items():
        assert torch.equal(two.state_dict()[name], value), name


def _nan(encoder):
    with torch.no_grad():
        next(encoder.parameters())[0, 0] = math.nan
    return encoder


FAULTS = {
    "another family": (lambda: tiny_encoder("roberta"), 0.5, "family 'roberta', the model's of the family 'bert'"),
    "fewer layers": (lambda: tiny_encoder(num_hidden_layers=1), 0.5, "encoder.layer.1.*missing"),
    "another width": (lambda: tiny_encoder(hidden_size=16), 0.5, r"\[120, 16\], and \[120, 32\] in the model"),
    "another vocabulary": (lambda: tiny_encoder(vocab_size=121), 0.5, r"word_embeddings.*\[121, 32\]"),
    "no number": (lambda: _nan(tiny_encoder()), 0.5, "pretrained encoder: weights are infinite"),
    "a factor too high": (tiny_encoder, 1.1, r"factor must lie in \[0, 1\], found 1.1"),
    "a factor that is none": (tiny_encoder, math.nan, "found nan"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_encoders_that_do_not_fit_are_refused(fault):
    make, factor, words = FAULTS[fault]
    _, model = trained()
    with pytest.raises(ValueError, match=words):
        interpolate_encoder(model, make(), factor)


def test_the_best_factor_is_chosen_and_of_equal_ones_the_highest():
    pretrained, model = trained()
    table = {0.0: 0.1, 0.5: 0.7, 0.6: 0.7, 1.0: math.nan}
    encoder, moved = (next(m.parameters()).detach()[0, 0] for m in (pretrained, model.encoder))

    def score(between):
        value = next(between.encoder.parameters()).detach()[0, 0]
        return table[round(float((value - encoder) / (moved - encoder)), 3)]

    found, factor, scores = choose_factor(model, pretrained, score, list(table))
    assert factor == 0.6
    assert repr(scores) == repr(table)
    assert torch.equal(next(found.encoder.parameters()), next(interpolate_encoder(model, pretrained, 0.6).parameters()))
    with pytest.raises(ValueError, match="No factor of 11"):
        choose_factor(model, pretrained, lambda _: math.nan, FACTORS)


def test_command_line_interpolates_by_a_number_or_by_a_recipe(tmp_path, encoder_folder, tokenizer, monkeypatch):
    from hf_mtl.recipe import Recipe

    monkeypatch.chdir(tmp_path)
    write_data(tmp_path)
    recipe = write_recipe(tmp_path, recipe_values(encoder_folder, tmp_path / "run"))
    model = MultiTaskModel.from_encoder(str(encoder_folder), Recipe.load(recipe).prepare().tasks)
    with torch.no_grad():
        for parameter in model.encoder.parameters():
            parameter.mul_(1.5)
    model.save_pretrained("model")
    tokenizer.save_pretrained("model")

    def call(*args, code=0):
        done = CliRunner().invoke(app, ["interpolate", *map(str, args)])
        assert done.exit_code == code, done.output
        return done

    call("model", encoder_folder, "--factor", 0.5, "-o", "half")
    expected = interpolate_encoder(model, encoder_folder, 0.5).state_dict()
    for name, value in MultiTaskModel.from_pretrained("half").state_dict().items():
        assert torch.equal(value, expected[name]), name
    lines = [
        line.split() for line in call("model", encoder_folder, "--recipe", recipe, "-o", "chosen").stdout.split("\n")
    ]
    scores = {float(line[0]): float(line[1]) for line in lines if line and line[0] in map("{:g}".format, FACTORS)}
    assert tuple(scores) == FACTORS
    chosen = [float(line[0]) for line in lines if line[-1:] == ["chosen"]]
    assert chosen == [max(scores, key=lambda factor: (scores[factor], factor))]
    for args, words in (
        ((), "either --factor"),
        (("--factor", 0.5, "--recipe", recipe), "either --factor"),
        (("--factor", 2), "factor must lie in [0, 1]"),
    ):
        assert words in call("model", encoder_folder, *args, "-o", "out", code=2).stderr
    assert "encoder 'none/at/all'" in call("model", "none/at/all", "--factor", 1, "-o", "out", code=2).stderr
    assert not (tmp_path / "out").exists()
