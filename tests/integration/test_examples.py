"""The scripts of examples/ run as they are: with a tiny encoder, or the one that they make themselves."""

import json
import runpy
import sys
from dataclasses import dataclass

import pytest

from tests.pages import ROOT

GLUE = runpy.run_path(str(ROOT / "examples" / "glue.py"))["TASKS"]
GLUE_COMMAND = "--task_names all --do_train --do_eval --do_predict --max_steps 4 --logging_steps 2 --use_cpu --seed 1"


@dataclass(frozen=True)
class Case:
    """A script.

    Args:
        arguments: The words after its name; ENCODER, DATA and OUTPUT are folders.
        printed: What it prints, among others.
        files: What it writes, in OUTPUT.
    """

    arguments: str
    printed: tuple[str, ...]
    files: tuple[str, ...] = ("model.safetensors",)


CASES = {
    "chinese": Case("OUTPUT", ("sentiment accuracy 1.000, names F1 1.000", "('李华', '人名'), ('西安', '地名')")),
    "custom_head": Case("ENCODER OUTPUT", ("likes: rank correlation", "'A good song!': ")),
    "distill_many_into_one": Case(
        "OUTPUT", ("mood     accuracy   alone", "one model 1.000"), ("one/model.safetensors",)
    ),
    "glue": Case(
        f"--model_name_or_path ENCODER --data_dir DATA --output_dir OUTPUT {GLUE_COMMAND}",
        ("eval_cola_matthews_correlation", "eval_mrpc_f1", "eval_stsb_pearson", "eval_mnli_accuracy"),
        ("model.safetensors", "eval_results.json", *(f"predict_{name}.jsonl" for name in GLUE)),
    ),
    "images": Case(
        "OUTPUT", ("colour  accuracy 1.000", "ConvNextForImageClassification"), ("answers.png", "boxes.png")
    ),
    "lora_on_a_decoder": Case(
        "OUTPUT",
        ("weights learn", "adapter: PlayMusic, [('Bob', 'artist')]", "merged: PlayMusic, [('Bob', 'artist')]"),
        ("adapter/adapter_model.safetensors", "merged/model.safetensors"),
    ),
    "sentiment_and_entities": Case("ENCODER OUTPUT", ("sentiment accuracy", "entities F1")),
    "sweep_with_optuna": Case("ENCODER OUTPUT 2", ("best: trial", "trained again with it"), ("trials.db",)),
    "train_in_python": Case("ENCODER OUTPUT", ('"polarity"',)),
}
#: Packages without which a script is left out.
NEEDED = {"images": ["faster_coco_eval"], "lora_on_a_decoder": ["peft"], "sweep_with_optuna": ["optuna"]}
#: Scripts that other tests run.
ELSEWHERE = {
    "production_with_onnx": "make examples, on the demo's model; tests/unit/export runs the same calls",
    "spark": "tests/unit/inference/test_spark.py, whole by make test-spark",
}


def test_every_script_has_a_case():
    assert {path.stem for path in (ROOT / "examples").glob("*.py")} == {*CASES, *ELSEWHERE}


def make_glue(folder):
    """Write some rows of each task of GLUE, as the Hub has them: labels are numbers."""
    for name, (inputs, labels) in GLUE.items():
        (folder / name).mkdir(parents=True)
        count = 3 if labels is None else len(labels)
        rows = [
            {**{column: f"a {word} film {number % count}" for column, word in zip(inputs, "ab", strict=False)}}
            | {"idx": number, "label": number % count + (0.5 if labels is None else 0)}
            for number in range(12)
        ]
        for split in ("train", "validation"):
            (folder / name / f"{split}.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))


#: Notebook -> what it prints, among others.
NOTEBOOKS = {"first_training": "Play a very good song by Anna: ", "errors_and_calibration": "temperature "}


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_the_cells_of_a_notebook_run(name, tmp_path, monkeypatch, encoder_folder, capsys):
    pyplot = pytest.importorskip("matplotlib.pyplot")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ENCODER", str(encoder_folder))
    runpy.run_path(str(ROOT / "examples" / "notebooks" / f"{name}.py"), run_name="__main__")
    assert NOTEBOOKS[name] in capsys.readouterr().out
    assert pyplot.get_fignums(), "a figure is drawn"
    pyplot.close("all")


def test_every_notebook_is_run():
    assert {path.stem for path in (ROOT / "examples" / "notebooks").glob("*.*")} == {*NOTEBOOKS}


@pytest.mark.parametrize("name", CASES)
def test_a_script_runs(name, tmp_path, monkeypatch, encoder_folder, capsys):
    case = CASES[name]
    for library in NEEDED.get(name, []):
        pytest.importorskip(library)
    if name == "glue":
        make_glue(tmp_path / "data")
    output = tmp_path / "out"
    places = {"ENCODER": str(encoder_folder), "DATA": str(tmp_path / "data"), "OUTPUT": str(output)}
    monkeypatch.setattr(sys, "argv", [name, *(places.get(word, word) for word in case.arguments.split())])
    runpy.run_path(str(ROOT / "examples" / f"{name}.py"), run_name="__main__")
    found = capsys.readouterr().out
    assert [text for text in case.printed if text not in found] == []
    assert [file for file in case.files if not (output / file).is_file()] == []
