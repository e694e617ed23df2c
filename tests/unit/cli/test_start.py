"""The command line answers what needs no model without importing torch."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import hf_mtl
from hf_mtl import MultiTaskModel, TaskConfig
from hf_mtl.cli._head_table import ModelSizes
from tests.encoders import tiny_encoder
from tests.image_encoders import tiny_image_encoder

#: Recipes with a mistake.
RECIPES = {
    "key.yaml": "encoder: a\ndatasets: {one: {laod: {path: csv}, columns: {text: text, label: mood}}}",
    "type.yaml": "encoder: a\ndatasets: {one: {load: {path: csv}, columns: text}}",
    "syntax.yaml": "encoder: a\ndatasets: {one: [",
    "good.yaml": "encoder: a\ndatasets: {one: {load: {path: csv, data_files: a.csv}, columns: {text: text, b: mood}}}",
}
#: A run folder of two tasks, one of a type of the user's own.
RUN = {
    "run/config.json": {
        "model_type": "multi-task",
        "encoder_config": {"model_type": "bert", "num_hidden_layers": 2},
        "tasks": [
            {"name": "mood", "type": "sentiment", "labels": ["bad", "good"]},
            {"name": "count", "type": "own", "labels": None},
        ],
    },
    "run/trainer_state.json": {
        "global_step": 4,
        "max_steps": 4,
        "log_history": [
            *({"step": step, "loss": 1 / step, "loss/mood": 1 / step, "rows/reviews": 8} for step in (1, 2, 3, 4)),
            {"step": 4, "eval_mood_f1": 0.25, "eval_mood_accuracy": 0.5, "eval_count_error": 2, "eval_score": 0.5},
        ],
    },
}
#: Arguments, and words of what is then printed.
QUICK = {
    "help": (["--help"], "Commands:"),
    "a command's help": (["train", "--help"], "Usage: hf-mtl train"),
    "version": (["--version"], "hf-mtl "),
    "a mistake on the command line": (["trian"], "Did you mean 'train'"),
    "a key of a recipe": (["train", "key.yaml"], "key.yaml: datasets.one: unknown key 'laod'. Did you mean 'load'?"),
    "a value of a recipe": (["cv", "type.yaml"], "type.yaml: datasets.one.columns: expected a mapping, found 'text'."),
    "a file that is no YAML": (["data", "syntax.yaml"], "syntax.yaml: line 2"),
    "an override": (["train", "key.yaml", "modle=b"], "key.yaml: unknown key 'modle'. Did you mean 'model'?"),
    "no file": (["evaluate", "runs/a", "none.yaml"], "none.yaml"),
    "a report": (["report", "run", "-o", "-"], "<title>run"),
    "heads": (["heads", "model"], "sentiment"),
    "no run": (["report", "none"], "none: no such folder"),
    "a sampler": (["train", "good.yaml", "sampling.strategy=unifrom"], "Did you mean 'uniform'"),
    "a balancer": (["cv", "good.yaml", "balancing.method=dwe"], "Did you mean 'dwa'"),
    "a method": (["compare", "good.yaml", "methods.r-dorp.alpha=1"], "Did you mean 'r-drop'"),
    "an augmentation": (["relate", "good.yaml", "augmentation.word-mask.p=1"], "Did you mean 'word-masking'"),
    "a task type": (["data", "good.yaml", "tasks.mood.type=sentimant"], "Did you mean 'sentiment'"),
    "an argument": (["sweep", "good.yaml", "training.sead=1", "--space", "s.yaml"], "Did you mean 'seed'"),
    "an argument beside a model": (["evaluate", "model", "good.yaml", "training.optim=adamw_trch"], "'adamw_torch'"),
    "a type beside a model": (["tune", "model", "good.yaml", "training.seed=a", "-o", "b"], "expected a whole number"),
    "a choice beside a model": (["calibrate", "model", "good.yaml", "training.precision=half"], "must be one of"),
    "no data": (["errors", "model", "good.yaml", "datasets.one.load.data_files=b.csv"], "no file 'b.csv'"),
    "no data to check by": (["export", "model", "o", "--to", "onnx", "--check", "no-data.yaml"], "no file 'none.csv'"),
    "no data to merge by": (
        ["merge", "model", "model", "--average", "--greedy", "no-data.yaml", "-o", "o"],
        "none.csv",
    ),
    "no encoder": (["train", "good.yaml", "encoder=./none"], "encoder: no folder './none'"),
    "a folder that is taken": (["train", "good.yaml", "training.output_dir=run"], "already holds a trained model"),
    "contradicting options": (["train", "good.yaml", "--overwrite", "--resume"], "contradict each other"),
    "a teacher's option": (["distill", "good.yaml", "--teachers", "model", "--alpha", "2"], "alpha must be"),
    "no model": (["evaluate", "./none", "good.yaml"], "model './none': no such folder."),
    "no model to answer": (["predict", "./none", "a text"], "model './none': no such folder."),
    "no model in the folder": (["export", ".", "out", "--to", "onnx"], "has no config.json, so it holds no model."),
    "no model to push": (["push", "none", "a/b"], "A model that is to be pushed lies in one."),
    "no text to answer": (["predict", "model", "none.jsonl"], "none.jsonl"),
}
#: Runs each command in one process, and prints what it printed and which of the large libraries were imported.
_ALL = """
import contextlib, io, json, sys
sys.argv[0] = "hf-mtl"
from hf_mtl.cli import main
found = {}
for name, arguments in json.loads(sys.argv[1]).items():
    sys.argv[1:] = arguments
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed), contextlib.suppress(SystemExit):
        main()
    found[name] = printed.getvalue(), sorted({"torch", "transformers", "datasets"} & {*sys.modules})
print(json.dumps(found))
"""


def make_model():
    return MultiTaskModel.from_encoder(tiny_encoder(), [TaskConfig("mood", "sentiment", labels=["bad", "good"])])


def _run(code, *arguments, folder=None):
    environment = {**os.environ, "PYTHONPATH": str(Path(hf_mtl.__file__).parent.parent)}
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
        cwd=folder,
    )


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    folder = tmp_path_factory.mktemp("quick")
    (folder / "run").mkdir()
    make_model().save_pretrained(folder / "model")
    for file, text in RECIPES.items():
        (folder / file).write_text(text)
    (folder / "a.csv").write_text("text,b\ngood,c\n")
    (folder / "no-data.yaml").write_text(RECIPES["good.yaml"].replace("a.csv", "none.csv"))
    for file, values in RUN.items():
        (folder / file).write_text(json.dumps(values))
    done = _run(_ALL, json.dumps({name: arguments for name, (arguments, _) in QUICK.items()}), folder=folder)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", QUICK)
def test_what_needs_no_model_imports_neither_torch_nor_transformers(name, found):
    printed, imported = found[name]
    assert QUICK[name][1] in printed
    assert imported == []


def test_the_names_of_the_package_are_there_on_the_command_line_too():
    code = (
        "import sys\n"
        "sys.argv[0] = '/usr/bin/hf-mtl'\n"
        "import hf_mtl\n"
        "assert 'torch' not in sys.modules\n"
        "assert [name for name in hf_mtl.__all__ if not hasattr(hf_mtl, name)] == []\n"
        "assert not hasattr(hf_mtl, 'nothing')\n"
        "import hf_mtl.recipe\n"
        "assert 'torch' in sys.modules and 'hf_mtl.recipe._recipe' not in sys.modules\n"
        "assert [name for name in hf_mtl.recipe.__all__ if not hasattr(hf_mtl.recipe, name)] == []\n"
        "assert not hasattr(hf_mtl.recipe, 'nothing')\n"
        "from transformers import AutoConfig\n"
        "print(type(AutoConfig.for_model('multi-task')).__name__)\n"
    )
    assert _run(code).stdout == "MultiTaskConfig\n"


#: Encoders whose weights' files differ: plain, with shared layers, with an embedding under two names, of pictures.
@pytest.mark.parametrize("family", ["bert", "albert", "t5", "pictures"])
def test_heads_are_listed_by_a_models_files_as_by_the_model(family, tmp_path):
    labels = ["a", "b"]
    branch = "moods" if family == "bert" else None
    if family == "pictures":
        encoder, tasks = tiny_image_encoder(), [TaskConfig("sign", "image-classification", labels=labels)]
    else:
        encoder = tiny_encoder(family)
        tasks = [
            TaskConfig("mood", "sentiment", labels=labels, branch=branch),
            TaskConfig("score (0-5)", "regression", pooling="attention", layers=None if branch else "mix"),
            TaskConfig("tone", "sentiment", labels=labels, tied_to="mood", branch=branch),
        ]
    model = MultiTaskModel.from_encoder(encoder, tasks, branches={branch: 1} if branch else None)
    model.freeze(layers=1, heads=[tasks[0].name])
    model.save_pretrained(tmp_path)
    found = ModelSizes.of_folder(tmp_path)
    assert found == ModelSizes.of_model(model)
    counts = (*found.heads.values(), found.encoders[0][1], *(count for _, count in found.branches.values()))
    assert sum(counts) == sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize(
    "damage", ["no config", "cut", "no weights", "another kind", "a head less", "a weight elsewhere"]
)
def test_what_files_do_not_say_is_left_to_loading(damage, tmp_path):
    make_model().save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    assert ModelSizes.of_folder(tmp_path) is not None
    if damage == "no config":
        (tmp_path / "config.json").unlink()
    elif damage == "no weights":
        (tmp_path / "model.safetensors").unlink()
    elif damage == "cut":
        (tmp_path / "model.safetensors").write_bytes((tmp_path / "model.safetensors").read_bytes()[:-1])
    else:
        more = {"name": "more", "type": "sentiment", "labels": ["a", "b"]}
        changed = {
            "another kind": {"model_type": "bert"},
            "a head less": {"tasks": [*config["tasks"], more]},
            # Its last layer is the encoder's embedding, which the file holds once.
            "a weight elsewhere": {"tasks": [{**config["tasks"][0], "type": "masked-lm"}]},
        }[damage]
        (tmp_path / "config.json").write_text(json.dumps({**config, **changed}))
    assert ModelSizes.of_folder(tmp_path) is None
