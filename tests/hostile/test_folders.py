"""Models' folders with a file that is missing, cut off, swapped or of another kind, and configs of any values."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import pipeline

from hf_mtl import MultiTaskModel
from tests.hostile.judge import RIGHT

FILES = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")
DAMAGES = {
    "missing": Path.unlink,
    "empty": lambda path: path.write_bytes(b""),
    "cut off": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "zeros": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "noise": lambda path: path.write_bytes(bytes(range(256)) * 8),
    "a list": lambda path: path.write_text("[]"),
    "null": lambda path: path.write_text("null"),
    "an empty object": lambda path: path.write_text("{}"),
    "nested deeply": lambda path: path.write_text("[" * 100_000),
    "utf-16": lambda path: path.write_text("{}", encoding="utf-16"),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
    "a dangling link": lambda path: (path.unlink(), path.symlink_to("nowhere")),
    "a link to itself": lambda path: (path.unlink(), path.symlink_to(path.name)),
}
#: Without its settings a tokenizer of one file still reads; what it lacks is checked against the encoder.
MILD: set[tuple[str, str]] = set()
DAMAGED = {f"{file} {name}": (file, name) for file in FILES for name in DAMAGES}


@pytest.mark.parametrize("case", DAMAGED)
def test_a_damaged_file_of_a_model_is_named(folder, judge, case):
    file, damage = DAMAGED[case]
    DAMAGES[damage](folder / "model" / file)
    says = RIGHT if (file, damage) in MILD else r"model 'model'"
    judge.command(["predict", "model", "a good film"], says)


def _config(change):
    def damage(model):
        path = model / "config.json"
        config = json.loads(path.read_text())
        change(config)
        path.write_text(json.dumps(config))

    return damage


def _weights(change):
    def damage(model):
        path = model / "model.safetensors"
        weights = load_file(path)
        changed = change(weights)
        save_file(changed if isinstance(changed, dict) else weights, path, metadata={"format": "pt"})

    return damage


def _tokenizer(change):
    def damage(model):
        path = model / "tokenizer.json"
        tokenizer = json.loads(path.read_text())
        change(tokenizer)
        path.write_text(json.dumps(tokenizer))

    return damage


def _key(name, value):
    return _config(lambda config: config.update({name: value}))


def _encoder(name, value):
    return _config(lambda config: config["encoder_config"].update({name: value}))


def _task(place, name, value):
    return _config(lambda config: config["tasks"][place].update({name: value}))


HEAD = "heads.intent.classifier.stock.classifier.weight"
LAYER = "encoder.encoder.layer.1.output.dense.weight"
WORDS = "encoder.embeddings.word_embeddings.weight"
JUNK = {"null": None, "a list": [], "a number": 3, "text": "x", "an object": {}, "true": True}
#: What is changed -> the change and what the line says.
CHANGES = {
    **{f"model_type is {n}": (_key("model_type", v), "model 'model'") for n, v in JUNK.items()},
    **{f"encoder_config is {n}": (_key("encoder_config", v), "model 'model'") for n, v in JUNK.items()},
    **{f"tasks is {n}": (_key("tasks", v), "model 'model'") for n, v in JUNK.items()},
    **{f"a task is {n}": (_key("tasks", [v]), "model 'model'") for n, v in JUNK.items()},
    **{f"a task's name is {n}": (_task(1, "name", v), "model 'model'") for n, v in JUNK.items()},
    **{f"a task's type is {n}": (_task(1, "type", v), "model 'model'") for n, v in JUNK.items()},
    **{f"a task's labels are {n}": (_task(1, "labels", v), "model 'model'") for n, v in JUNK.items()},
    **{f"a task's weight is {n}": (_task(1, "weight", v), "model 'model'") for n, v in JUNK.items() if n != "a number"},
    **{f"a task's options are {n}": (_task(1, "options", v), "model 'model'") for n, v in JUNK.items()},
    **{f"a task's metrics are {n}": (_task(1, "metrics", v), "model 'model'") for n, v in JUNK.items()},
    **{
        f"the encoder's {name} is {n}": (_encoder(name, v), "model 'model'")
        for name in ("hidden_size", "num_hidden_layers", "vocab_size", "hidden_act", "model_type", "layer_norm_eps")
        for n, v in JUNK.items()
    },
    # What means nothing, or has no effect on answers.
    "tasks is a list": (_key("tasks", []), "the model has no tasks"),
    **{f"a task's options are {n}": (_task(1, "options", JUNK[n]), RIGHT) for n in ("null", "an object")},
    **{f"a task's metrics are {n}": (_task(1, "metrics", JUNK[n]), RIGHT) for n in ("null", "a list", "an object")},
    # Metrics are for evaluations, which refuse one that is not built in.
    "metrics are a folder": (_task(1, "metrics", ["./m"]), RIGHT),
    "two tasks of one name": (_task(1, "name", "opinion"), "model 'model'.*opinion"),
    "two labels of one name": (_task(1, "labels", ["book", "book"]), "model 'model'.*book"),
    "a label too many": (_task(1, "labels", ["a", "b", "c"]), "model 'model'"),
    "labels are numbers": (_task(1, "labels", [1, 2]), "model 'model'.*intent"),
    "a task's weight is negative": (_task(1, "weight", -1), "model 'model'"),
    "a task's weight is NaN": (_task(1, "weight", float("nan")), "model 'model'"),
    "a task has an unknown field": (_task(1, "lables", []), "model 'model'.*lables"),
    "a task is tied to none": (_task(1, "tied_to", "nobody"), "model 'model'.*nobody"),
    "a task is tied to itself": (_task(1, "tied_to", "intent"), "model 'model'.*intent"),
    "a task without a name": (_config(lambda c: c["tasks"][1].pop("name")), "model 'model'"),
    "a task without a type": (_config(lambda c: c["tasks"][1].pop("type")), "model 'model'"),
    "a task taken out": (_config(lambda c: c["tasks"].pop()), RIGHT),
    "a task put in": (
        _config(lambda c: c["tasks"].append({"name": "new", "type": "regression"})),
        "model 'model'.*new",
    ),
    "no tasks key": (_config(lambda c: c.pop("tasks")), "the model has no tasks"),
    "no encoder_config key": (_config(lambda c: c.pop("encoder_config")), "model 'model'"),
    "a layer too many": (_encoder("num_hidden_layers", 3), "model 'model'"),
    "4,096 layers": (_encoder("num_hidden_layers", 4096), "model 'model'"),
    "a layer too few": (_encoder("num_hidden_layers", 1), "model 'model'"),
    "another size": (_encoder("hidden_size", 36), "model 'model'"),
    "a negative size": (_encoder("hidden_size", -32), "model 'model'"),
    "no heads of attention": (_encoder("num_attention_heads", 0), "model 'model'"),
    "another vocabulary": (_encoder("vocab_size", 7), "model 'model'"),
    "a huge vocabulary": (_encoder("vocab_size", 10**12), "model 'model'"),
    "another family": (_encoder("model_type", "distilbert"), "model 'model'"),
    "code of the folder": (_key("auto_map", {"AutoModel": "m.M"}), RIGHT),
    "weights: NaN in a head": (_weights(lambda w: w[HEAD].fill_(torch.nan)), f"model 'model'.*{HEAD}"),
    "weights: NaN in the encoder": (_weights(lambda w: w[LAYER][0].fill_(torch.nan)), f"model 'model'.*{LAYER}"),
    "weights: infinite": (_weights(lambda w: w[WORDS][0].fill_(torch.inf)), f"model 'model'.*{WORDS}"),
    "weights: no head": (_weights(lambda w: w.pop(HEAD) is None), f"model 'model'.*{HEAD}"),
    "weights: no layer": (_weights(lambda w: w.pop(LAYER) is None), "model 'model'"),
    "weights: no embeddings": (_weights(lambda w: w.pop(WORDS) is None), "model 'model'"),
    "weights: none": (_weights(lambda w: w.clear()), "model 'model'"),
    "weights: another shape": (_weights(lambda w: w.update({HEAD: torch.ones(5, 32)})), "model 'model'"),
    "weights: one number": (_weights(lambda w: w.update({HEAD: torch.tensor(1.0)})), "model 'model'"),
    "weights: of no rows": (_weights(lambda w: w.update({HEAD: torch.ones(0, 32)})), "model 'model'"),
    "weights: another name": (_weights(lambda w: {f"x.{k}": v for k, v in w.items()}), "model 'model'"),
    "weights: in half": (_weights(lambda w: {k: v.half() for k, v in w.items()}), RIGHT),
    "weights: one too many": (_weights(lambda w: w.update(extra=torch.ones(1))), RIGHT),
    "weights: a pickle": (lambda m: torch.save({}, m / "model.safetensors"), "model 'model'"),
    "weights: only a pickle": (
        lambda m: ((m / "model.safetensors").unlink(), torch.save({}, m / "pytorch_model.bin")),
        "model 'model'",
    ),
    "weights: parts that are missing": (
        lambda m: (
            (m / "model.safetensors").unlink(),
            (m / "model.safetensors.index.json").write_text(
                json.dumps({"metadata": {}, "weight_map": {HEAD: "model-00001-of-00002.safetensors"}})
            ),
        ),
        "model 'model'",
    ),
    "weights: an index that is no JSON": (
        lambda m: ((m / "model.safetensors").unlink(), (m / "model.safetensors.index.json").write_text("{")),
        "model 'model'",
    ),
    "tokenizer: an empty vocabulary": (_tokenizer(lambda t: t["model"].update(vocab={})), "model 'model'"),
    "tokenizer: ids past the embeddings": (
        _tokenizer(lambda t: t["model"]["vocab"].update(paris=5000)),
        "model 'model'.*120",
    ),
    "tokenizer: no unknown token": (_tokenizer(lambda t: t["model"]["vocab"].pop("[UNK]")), RIGHT),
    "tokenizer: another model": (_tokenizer(lambda t: t["model"].update(type="Nothing")), "model 'model'"),
    "tokenizer: no model": (_tokenizer(lambda t: t.pop("model")), "model 'model'"),
    "tokenizer: vocabulary is a list": (_tokenizer(lambda t: t["model"].update(vocab=["a"])), "model 'model'"),
}


@pytest.mark.parametrize("case", CHANGES)
def test_a_changed_model_answers_rightly_or_is_refused(folder, judge, case):
    change, says = CHANGES[case]
    change(folder / "model")
    judge.command(["predict", "model", "a good film"], says)


COMMANDS = {
    "heads list": ["heads", "model"],
    "heads rename": ["heads", "model", "rename", "intent", "purpose", "-o", "out"],
    "heads drop in place": ["heads", "model", "drop", "intent", "-o", "model"],
    "merge": ["merge", "model", "model", "-o", "out", "--rename", "2:intent=intent2"],
    "export to transformers": ["export", "model", "out", "--to", "transformers", "--task", "intent"],
    "predict into a file": ["predict", "model", "films.jsonl", "--text-column", "sentence", "-o", "out.jsonl"],
}
HURTS = {
    "a list for config.json": lambda m: (m / "config.json").write_text("[]"),
    "weights cut off": lambda m: DAMAGES["cut off"](m / "model.safetensors"),
    "a head that lacks": CHANGES["weights: no head"][0],
    "NaN": CHANGES["weights: NaN in a head"][0],
    "an encoder of another size": CHANGES["another size"][0],
    "no tokenizer": lambda m: (m / "tokenizer.json").unlink(),
    "a broken tokenizer": lambda m: (m / "tokenizer.json").write_text("{}"),
}
#: A list is read off the config and the names and shapes of the weights: what lies beyond them is found on opening.
LISTED = ("a list for config.json", "weights cut off")
MATRIX = {
    f"{command}: {hurt}": (COMMANDS[command], HURTS[hurt])
    for command in COMMANDS
    for hurt in (LISTED if command == "heads list" else HURTS)
}


@pytest.mark.parametrize("case", MATRIX)
def test_every_command_refuses_a_damaged_model(folder, judge, case):
    args, hurt = MATRIX[case]
    hurt(folder / "model")
    judge.command(args, "model 'model'")


#: What Transformers itself says of configs and tokenizers that it cannot read is not ours.
OURS = ("weights cut off", "a head that lacks", "NaN", "an encoder of another size")


@pytest.mark.parametrize("hurt", OURS)
def test_python_refuses_a_damaged_model(folder, judge, hurt):
    HURTS[hurt](folder / "model")
    judge.python(lambda: MultiTaskModel.from_pretrained("model"), "model")


@pytest.mark.parametrize("hurt", HURTS)
def test_the_pipeline_gives_no_answers_of_a_damaged_model(folder, hurt):
    HURTS[hurt](folder / "model")
    with pytest.raises(Exception, match=r"model|token|config"):
        pipeline("multi-task", model="model")


def _no(folder):
    shutil.rmtree(folder / "model")


NO_MODELS = {
    "no folder": _no,
    "a file": lambda f: (_no(f), (f / "model").write_text("x")),
    "an empty folder": lambda f: (_no(f), (f / "model").mkdir()),
    "a dangling link": lambda f: (_no(f), (f / "model").symlink_to("nowhere")),
    "a link to itself": lambda f: (_no(f), (f / "model").symlink_to("model")),
}


@pytest.mark.parametrize("case", NO_MODELS)
def test_what_is_no_model_is_named(folder, judge, case):
    NO_MODELS[case](folder)
    judge.command(["predict", "./model", "a good film"], "model '(./)?model'")
