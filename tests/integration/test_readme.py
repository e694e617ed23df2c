"""What the README and the examples show runs as it stands, but for the encoder's name."""

import json
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from datasets import Dataset

ROOT = Path(__file__).parents[2]
HUB_ID = "sentence-transformers/all-MiniLM-L6-v2"


def blocks(language):
    """Return the README's fenced blocks of a language."""
    # Splitting at every fence leaves text and blocks in turn.
    fenced = re.split(r"^```", (ROOT / "README.md").read_text(), flags=re.MULTILINE)[1::2]
    return [body for name, body in (block.split("\n", 1) for block in fenced) if name == language]


def test_readme_python_runs(tmp_path, monkeypatch, encoder_folder, capsys):
    (code,) = blocks("python")
    assert HUB_ID in code
    (tmp_path / "readme.py").write_text(code.replace(HUB_ID, str(encoder_folder)))
    monkeypatch.chdir(tmp_path)
    runpy.run_path("readme.py")
    assert re.search(r"^(BookRestaurant|PlayMusic) -?[0-9.]+(e-\d+)? \[", capsys.readouterr().out, re.MULTILINE)


@pytest.fixture
def readme_recipe(tmp_path, encoder_folder):
    (text,) = blocks("yaml")
    requests = [
        {"tokens": ["play", "a", "song"], "intent": "PlayMusic", "slot_tags": ["O", "O", "O"]},
        {"tokens": ["a", "table", "in", "rome"], "intent": "BookRestaurant", "slot_tags": ["O", "O", "O", "B-city"]},
    ]
    (tmp_path / "requests.jsonl").write_text("".join(json.dumps(row) + "\n" for row in requests * 8))
    reviews = {"review": ["good film", "bad film"] * 20, "label": ["positive", "negative"] * 20}
    Dataset.from_dict(reviews).to_csv(tmp_path / "reviews.csv")
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(text.replace(HUB_ID, str(encoder_folder)))
    return recipe


def test_readme_recipe_and_commands_run(readme_recipe, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    (tmp_path / "in.jsonl").write_text('{"text": "play a good song"}\n')
    commands = [line.split("#")[0].split() for line in blocks("")[-1].splitlines() if line.startswith("hf-mtl")]
    assert len(commands) == 6
    program = Path(sys.executable).parent / "hf-mtl"
    for command in commands:
        if command[1] == "train" and "--dry-run" not in command:
            # The second training of the README goes to the same folder.
            command.append("--overwrite")
        done = subprocess.run([program, *command[1:]], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    (answer,) = map(json.loads, (tmp_path / "out.jsonl").read_text().splitlines())
    assert set(answer) == {"text", "intent", "slots", "sentiment"}
    results = json.loads((tmp_path / "runs" / "assistant" / "all_results.json").read_text())
    assert {"eval_intent_accuracy", "eval_slots_f1", "eval_sentiment_accuracy", "eval_score"} <= set(results)


def test_example_runs(tmp_path, monkeypatch, encoder_folder, capsys):
    monkeypatch.setattr(sys, "argv", ["train_in_python.py", str(encoder_folder), str(tmp_path / "out")])
    runpy.run_path(str(ROOT / "examples" / "train_in_python.py"), run_name="__main__")
    printed = capsys.readouterr().out
    assert '"polarity"' in printed
    assert (tmp_path / "out" / "model.safetensors").exists()


def test_every_link_leads_somewhere():
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
