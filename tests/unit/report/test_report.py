"""The report of a run: read from a real training's folder, drawn, and opened in a browser."""

import dataclasses
import html
import json
import math
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
import yaml
from datasets import Dataset
from transformers import TrainingArguments
from typer.testing import CliRunner

from hf_mtl import MultiTaskTrainer, MultiTaskTrainingArguments, TaskConfig
from hf_mtl.cli import app
from hf_mtl.metrics import METRICS
from hf_mtl.relations import Relations, recommend
from hf_mtl.report import _history, read_run, render_report
from hf_mtl.report._metrics import DETAIL_KEYS
from hf_mtl.trainer import calibrate_task, write_calibration
from tests import warm
from tests.conftest import make_tokenizer
from tests.trainers import make_data, model_without_dropout

pytest.importorskip("matplotlib", reason="needs the extra report")

#: One name begins with the other, and both with an underscore more, as keys of metrics do.
SHORT, LONG = "mood <script>alert(1)<b>", "mood <script>alert(1)<b>_f1"
CORPUS, SONGS = 'user/corpus & "one"', "$songs_{é}"
TITLES = ["Results", "Datasets", "Losses", "Metrics", "Shares", "Weights", "Gradient cosines", "Steps"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "run <i>&"
    tasks = [
        TaskConfig(SHORT, "sentiment", labels=["bad", "good"]),
        TaskConfig(LONG, "sentiment", labels=["bad", "good"]),
    ]
    rows = make_data()["sst"]
    data = {
        CORPUS: Dataset.from_dict({"text": rows["text"], SHORT: rows["mood"]}),
        SONGS: Dataset.from_dict({"text": rows["text"][:8], LONG: rows["mood"][:8]}),
    }
    arguments = MultiTaskTrainingArguments(
        str(folder),
        use_cpu=True,
        disable_tqdm=True,
        max_steps=6,
        logging_steps=2,
        eval_strategy="steps",
        eval_steps=2,
        save_steps=4,
        per_device_train_batch_size=4,
        batching="mixed",
        balancing="uncertainty",
        balancing_options={"learning_rate": 0.5},
        seed=7,
        gradient_cosine_steps=1,
    )
    trainer = MultiTaskTrainer(model_without_dropout(tasks), arguments, data, data, make_tokenizer())
    trainer.train()
    trainer.save_model()
    trainer.save_state()
    trainer.save_metrics("eval", trainer.evaluate())
    return folder


@pytest.fixture(scope="module")
def page(run):
    return render_report(read_run(run))


def write_run(folder, log, tasks=("a", "b"), steps=10):
    folder.mkdir(exist_ok=True, parents=True)
    (folder / "trainer_state.json").write_text(json.dumps({"global_step": steps, "log_history": log}))
    described = [{"name": name, "type": "sequence-classification", "labels": ["x", "y"]} for name in tasks]
    (folder / "config.json").write_text(json.dumps({"model_type": "multi-task", "tasks": described}))
    return folder


def section(page, name):
    return re.search(f'<section id="{name}">(.*?)</section>', page, re.DOTALL)[1]


def test_run_is_what_the_trainer_logged(run):
    read = read_run(run)
    state = json.loads((run / "trainer_state.json").read_text())
    last = [entry for entry in state["log_history"] if f"loss/{LONG}" in entry][-1]
    assert read.series(f"loss/{LONG}").values[-1] == last[f"loss/{LONG}"]
    assert read.series(f"loss/{LONG}").steps == [2, 4, 6]
    assert list(read.tasks) == [SHORT, LONG]
    assert list(read.datasets) == sorted([CORPUS, SONGS])
    assert read.main_metrics == {SHORT: "accuracy", LONG: "accuracy"}
    final = json.loads((run / "eval_results.json").read_text())
    for task in (SHORT, LONG):
        assert read.results["validation"][task]["accuracy"] == final[f"eval_{task}_accuracy"]
    assert "accuracy" not in {key.removeprefix("f1_") for key in read.results["validation"][SHORT] if "f1_" in key}
    assert read.scores == {"validation": final["eval_score"]}
    assert {"steps": "6", "seed": "7", "balancer": "uncertainty (learning_rate: 0.5)"}.items() <= read.facts.items()
    assert list(read.cosines()) == [(SHORT, LONG)]


def test_drawn_shares_of_each_interval_sum_to_one(run):
    shares = read_run(run).drawn_shares().values()
    for values in zip(*(series.values for series in shares), strict=True):
        assert math.isclose(sum(values), 1.0)


def test_page_holds_every_section_and_leaves_nothing_to_fetch(page):
    assert re.findall("<h2>(.*?)</h2>", page) == TITLES
    for name in ("losses", "metrics", "shares", "weights", "cosines", "rates"):
        assert "<svg" in section(page, name)
    assert not re.search(r"<(script|link|img|iframe|object|embed|base|image|a)\b", page)
    assert not re.search(r"@import|\bsrc=|url\((?!#)|href=\"(?!#)", page)
    addresses = set(re.findall(r"https?://[^\"' ]+", page))
    assert addresses <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}


def test_names_are_shown_as_they_are_and_never_as_markup(page):
    assert "<script" not in page
    assert "run &lt;i&gt;&amp;</h1>" in page
    for name in (CORPUS, SONGS):
        assert name.replace("&", "&amp;").replace('"', "&quot;") in page
    assert SHORT.replace("<", "&lt;").replace(">", "&gt;") in section(page, "losses")


def test_colours_of_figures_are_the_pages(page):
    drawn = "".join(re.findall("<svg.*?</svg>", page, re.DOTALL))
    assert not re.search(r"#[0-9a-f]{6}\b[^\"]*\"", "".join(re.findall(r'style="[^"]*"', drawn)))
    assert {"--ink", "--grid", "--series-0", "--series-1"} <= set(re.findall(r"var\((.*?)\)", drawn))


def test_ids_are_unique_and_references_lead_to_them(page):
    ids = re.findall(r'\bid="(.*?)"', page)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'href="#(.*?)"|url\(#(.*?)\)', page)) <= {(i, "") for i in ids} | {("", i) for i in ids}


def test_same_run_gives_the_same_bytes_in_another_process(run, page, tmp_path):
    script, out = tmp_path / "script.py", tmp_path / "page.html"
    script.write_text("from hf_mtl.cli import main\nmain()\n")
    done = warm.run(warm.Script(script, ["report", str(run), "-o", str(out)], tmp_path / "printed"))
    assert done.returncode == 0, done.stderr
    assert out.read_text(encoding="utf-8") == page


def test_browser_shows_all_of_it_without_a_complaint(page, tmp_path):
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if browser is None:
        pytest.skip("no Chromium on this machine")
    (tmp_path / "page.html").write_text(page, encoding="utf-8")
    address = (tmp_path / "page.html").as_uri()
    options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    logging = ["--enable-logging=stderr", "--disable-background-networking", "--dump-dom"]
    done = subprocess.run([browser, *options, *logging, address], check=True, capture_output=True, timeout=120)
    dom, complaints = done.stdout.decode(), done.stderr.decode()
    assert "CONSOLE" not in complaints, complaints
    assert re.findall("<h2>(.*?)</h2>", dom) == TITLES
    for name in ("losses", "metrics", "shares", "weights", "cosines", "rates"):
        drawn = section(dom, name)
        assert "<path" in drawn
        assert "<text" in drawn
    assert "<script" not in dom


def test_command_writes_beside_the_run_or_where_it_is_told(run, page, tmp_path):
    copy = tmp_path / run.name
    shutil.copytree(run, copy)
    result = CliRunner().invoke(app, ["report", str(copy)])
    assert result.exit_code == 0, result.output
    assert result.stdout == f"The report is in {copy / 'report.html'}\n"
    assert (copy / "report.html").read_text(encoding="utf-8") == page
    result = CliRunner().invoke(app, ["report", str(run), "-o", "-"])
    assert result.stdout == page
    result = CliRunner().invoke(app, ["report", str(run), "-o", str(tmp_path / "no" / "page.html")])
    assert result.exit_code == 2
    assert "does not exist" in result.output


def test_training_under_way_is_read_from_its_checkpoint(run, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    (copy / "trainer_state.json").unlink()
    (copy / "config.json").unlink()
    read = read_run(copy)
    assert list(read.tasks) == [SHORT, LONG]
    assert read.facts["steps"] == "6"
    (copy / "checkpoint-6" / "trainer_state.json").unlink()
    assert read_run(copy).facts["steps"] == "4 of 6"
    assert read_run(copy / "checkpoint-4").series(f"loss/{SHORT}").steps == [2, 4]


def test_sections_without_data_are_left_out_and_say_how_to_get_them(tmp_path):
    page = render_report(read_run(write_run(tmp_path, [{"step": 5, "loss/a": 1.0, "rows/d": 4.0}])))
    assert re.findall("<h2>(.*?)</h2>", page) == ["Datasets", "Losses", "Shares", "Not in this run"]
    missing = section(page, "missing")
    for words in ("gradient_cosine_steps", "eval_strategy", "Weights"):
        assert words in missing


def test_numbers_that_are_not_finite_are_left_out_and_told_of(tmp_path):
    log = [{"step": step, "loss/a": value} for step, value in enumerate((1.0, math.nan, math.inf, 0.5), 1)]
    page = render_report(read_run(write_run(tmp_path, log)))
    assert "a: 2 of 4 values not finite, the first at step 2." in section(page, "losses")
    page = render_report(read_run(write_run(tmp_path, [{"step": 3, "loss/a": math.nan}])))
    assert "1 of 1 values not finite" in section(page, "losses")


def test_thirty_tasks_have_a_panel_each(tmp_path):
    tasks = [f"task {number}" for number in range(30)]
    log = [{"step": step, **{f"loss/{name}": 1 / step for name in tasks}} for step in (1, 2)]
    losses = section(render_report(read_run(write_run(tmp_path, log, tasks))), "losses")
    assert all(f">{name}</text>" in losses for name in tasks)
    assert "legend" not in losses


def test_control_characters_and_foreign_letters_break_nothing(tmp_path):
    names = ["a\x00\x1b\ud800b", "中文", "_hidden", "$\\frac{$"]
    log = [{"step": step, **{f"rows/{name}": 4.0 for name in names}} for step in (1, 2)]
    page = render_report(read_run(write_run(tmp_path, log)))
    page.encode("utf-8")
    for shown in ("a\ufffd\ufffd\ufffdb", "中文", "_hidden", "$\\frac{$"):
        assert shown in section(page, "shares")


def test_recipe_says_what_was_asked_for_and_which_dataset_labels_which_task(tmp_path):
    write_run(tmp_path, [{"step": 5, **{f"{kind}/{name}": 1.0 for kind in ("rows", "share") for name in "zy"}}])
    recipe = (
        "encoder: some/encoder\n"
        "datasets: {z: {columns: {text: text, label: b}}, y: {columns: {tokens: tokens, a: a}}}\n"
        "training: {seed: 3}\nsampling: {strategy: temperature, temperature: 2.0}\nbalancing: {method: dwa}\n"
        "augmentation: {word-deletion: {p: 0.2, datasets: null}, word-masking: {}}\naverage: {kind: tail, from: 0.5}\n"
    )
    (tmp_path / "recipe.yaml").write_text(recipe)
    read = read_run(tmp_path)
    assert read.dataset_tasks == {"z": ["b"], "y": ["a"]}
    assert list(read.datasets) == ["z", "y"]
    wanted = {"encoder": "some/encoder", "seed": "3", "sampler": "temperature (temperature: 2.0)", "balancer": "dwa"}
    wanted |= {"augmentation": "word-deletion (p: 0.2); word-masking", "average": "tail (from: 0.5)"}
    assert wanted.items() <= read.facts.items()


def test_a_table_of_gains_is_a_matrix_and_a_calibration_a_diagram_of_each_task_with_or_without_a_log(tmp_path):
    names = ["a", "b", "<c>"]
    gains = np.array([[np.nan, 1.5, np.nan], [2.0, np.nan, -0.5], [0.25, -3.0, np.nan]])
    found = Relations.of_gains(gains, names, measure="subsets", score="loss")
    assert found.reasons  # five gains support nothing; the page of those that do is looked at
    advice = recommend(found.completion.table, names)
    fragment = advice.fragment(datasets={name: [name] for name in names})
    found = dataclasses.replace(found, reasons=[], recommendation=advice, fragment=fragment)
    (tmp_path / "relations.json").write_text(json.dumps(found.to_dict()))
    model = model_without_dropout([TaskConfig(name, "sentiment", labels=["x", "y"]) for name in ("a", "b")])
    generator = np.random.default_rng(0)
    targets = np.eye(2)[generator.integers(0, 2, 200)]
    done = {name: calibrate_task(model, name, 5 * generator.normal(size=(200, 2)), targets) for name in ("a", "b")}
    model.replace_task(dataclasses.replace(model.tasks[1], calibration_temperature=None))  # its weights changed since
    model.save_pretrained(tmp_path)
    (tmp_path / "README.md").write_text("---\n---\n")
    write_calibration(tmp_path / "README.md", model, {"a": done["a"]})
    kept = json.loads((tmp_path / "calibration.json").read_text())
    (tmp_path / "calibration.json").write_text(json.dumps({**kept, "b": kept["a"]}))
    page = render_report(read_run(tmp_path))
    assert re.findall("<h2>(.*?)</h2>", page) == ["Which tasks help which", "Calibration"]
    shown = section(page, "relations")
    filled = found.completion.table[0, 2]
    for words in (
        "by subsets, in its loss",
        "Groups that should share: a, b; ",
        ">+1.5</text>",
        ">-3.0</text>",
        f">({filled:+.1f})</text>",
        "&lt;c&gt;</text>",
    ):
        assert words in shown
    assert yaml.safe_load(html.unescape(re.search("<pre>(.*?)</pre>", shown, re.DOTALL)[1])) is not None
    shown = section(page, "calibration")
    assert shown.count("<svg") - shown.count('class="key"') == 1
    assert f"{done['a'].after['expected_calibration_error']:.4f}" in shown
    for side, bins in (("before", done["a"].bins_before), ("after", done["a"].bins_after)):
        count, score, right = np.array(bins).T
        error = getattr(done["a"], side)["expected_calibration_error"]
        assert np.abs(score - right).sum() / count.sum() == pytest.approx(error)
    write_run(tmp_path, [{"step": 5, "loss/a": 1.0}])
    assert "<h2>Losses" in render_report(read_run(tmp_path))
    (tmp_path / "relations.json").write_text('{"tasks": []}')
    assert "relations.json: expected" in CliRunner().invoke(app, ["report", str(tmp_path)]).stderr


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "holds no trainer_state.json, nor does a checkpoint in it"),
        ("{", "trainer_state.json: is cut or was changed: it is not valid JSON"),
        ("[]", "expected a mapping, found list"),
        ("{}", "has no log_history and global_step"),
        ('{"global_step": 3, "log_history": []}', "its log is empty. Train for at least logging_steps"),
    ],
)
def test_folders_without_a_log_are_refused_in_one_line(tmp_path, content, words):
    if content is not None:
        (tmp_path / "trainer_state.json").write_text(content)
    result = CliRunner().invoke(app, ["report", str(tmp_path)])
    assert result.exit_code == 2
    assert words in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not (tmp_path / "report.html").exists()


def test_what_a_report_knows_without_importing_it_is_so():
    assert {key for metric in METRICS.values() for key in metric.detail_keys} == DETAIL_KEYS
    assert TrainingArguments.seed == _history._SEED


def test_missing_folder_and_missing_extra_are_named(tmp_path, monkeypatch):
    result = CliRunner().invoke(app, ["report", str(tmp_path / "none")])
    assert result.exit_code == 2
    assert "no such folder" in result.stderr
    write_run(tmp_path, [{"step": 5, "loss/a": 1.0}])
    for name in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.delitem(sys.modules, "hf_mtl.report._figures", raising=False)
    result = CliRunner().invoke(app, ["report", str(tmp_path)])
    assert result.exit_code == 2
    assert "pip install 'hf-mtl[report]'" in result.stderr
