"""The pages under docs/: their code runs, their recipes are read, their commands have the options they name."""

import linecache
import re
import shlex
import shutil
from dataclasses import fields

import pytest
import typer
import yaml

from hf_mtl.augmentation import AUGMENTATIONS
from hf_mtl.balancers import BALANCERS, Balancer, Step
from hf_mtl.cli._app import app
from hf_mtl.heads import HEADS
from hf_mtl.metrics import METRICS
from hf_mtl.recipe import Recipe
from hf_mtl.samplers import SAMPLERS
from tests.hub import serving
from tests.pages import ROOT, blocks, make_folders, names_of_pages, paragraphs

PAGES = sorted((ROOT / "docs").glob("*.md"))


@pytest.fixture(scope="module")
def folders(tmp_path_factory, encoder_folder):
    place = tmp_path_factory.mktemp("pages")
    make_folders(encoder_folder, place)
    return place


@pytest.fixture
def place(folders, tmp_path, monkeypatch):
    place = tmp_path / "place"
    shutil.copytree(folders, place)
    monkeypatch.chdir(place)
    return place


def with_python(pages):
    return [page for page in pages if blocks(page, "python")]


@pytest.mark.parametrize("page", [p for p in with_python(PAGES) if p.stem != "hub"], ids=lambda page: page.stem)
def test_the_python_of_a_page_runs(page, place):
    names = names_of_pages()
    for number, block in enumerate(blocks(page, "python"), 1):
        # Classes that a page defines are asked for their source, and a traceback shows the line.
        name = f"<docs/{page.name}, block {number}>"
        linecache.cache[name] = (len(block), None, block.splitlines(keepends=True), name)
        exec(compile(block, name, "exec"), names)  # it is this repository's own


def test_the_python_of_the_hub_page_runs_against_a_hub(place):
    # The server's one account is anna's.
    code = "\n".join(blocks(ROOT / "docs" / "hub.md", "python")).replace('"user/', '"anna/')
    (place / "page.py").write_text(
        "from tests.pages import names_of_pages\nglobals().update(names_of_pages())\n"
        "trainer.args.hub_model_id = 'anna/assistant'\n" + code
    )
    with serving(place) as hub:
        done = hub.run("page.py")
    assert done.returncode == 0, done.stderr


def test_every_recipe_is_read():
    for page in PAGES:
        for block in blocks(page, "yaml"):
            given = yaml.safe_load(block)
            # What a page leaves out: an encoder, and datasets that label the tasks which it names.
            columns = {"text": "text", "intent": "intent", **{name: name for name in given.get("tasks", {})}}
            named = {"reviews": {}, "sst2": {}, "trec": {}, **given.get("datasets", {})}
            datasets = {name: {"load": {"path": "json"}, "columns": columns, **own} for name, own in named.items()}
            encoder = {} if "encoders" in given else {"encoder": "google-bert/bert-base-uncased"}
            values = {**encoder, **given, "datasets": datasets}
            values["training"] = {"output_dir": "out", **given.get("training", {})}
            Recipe.from_dict(values)


def options_of(command):
    return {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}


def commands(page):
    """Yield the words after each ``hf-mtl`` of a page's blocks and of its running text."""
    text = page.read_text(encoding="utf-8")
    lines = [line for block in re.findall(r"^```.*?^```", text, re.MULTILINE | re.DOTALL) for line in block.split("\n")]
    for line in [*lines, *re.findall(r"`(hf-mtl [^`]+)`", text)]:
        for command in re.split(r"[|;&]|  #", line):
            if command.strip().startswith("hf-mtl "):
                yield shlex.split(command)[1:]


@pytest.mark.parametrize("page", [ROOT / "README.md", *PAGES], ids=lambda page: page.stem)
def test_commands_and_their_options_exist(page):
    group = typer.main.get_command(app)
    for words in commands(page):
        if words[0].startswith("-"):
            continue
        assert words[0] in group.commands, f"{page.name}: hf-mtl {words[0]}"
        named = {word.partition("=")[0] for word in words[1:] if re.match(r"--?[a-z]", word)}
        unknown = named - options_of(group.commands[words[0]]) - {"--debug", "--help"}
        assert not unknown, f"{page.name}: hf-mtl {' '.join(words)}"


@pytest.mark.parametrize("page", [ROOT / "README.md", *PAGES], ids=lambda page: page.stem)
def test_no_paragraph_is_longer_than_80_words(page):
    long = [p for p in paragraphs(page) if len(p.split()) > 80]
    assert not long, "\n\n".join(long)


#: What a page of docs/ shows, in this order; further sections may be between them.
SECTIONS = ["Use it", "Options", "Guarantees", "Why"]
#: Pages of another shape, and the reason.
OTHER_SHAPE = {
    "concepts": "an overview: each idea leads to the page that has its options",
    "glossary": "a list of words",
    "limits": "a list of what does not work",
    "task_types": "three subjects, each with its example, its options and what holds",
    "validation": "several commands, each with these sections of its subject",
    "your_own": "four classes to write; what holds for all of them is at the end",
}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_says_how_to_use_it_its_options_its_guarantees_and_why(page):
    titles = re.findall(r"^## (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    found = [title for title in titles if title in SECTIONS]
    if page.stem in OTHER_SHAPE:
        assert found != SECTIONS, f"{page.name} has the common shape: take it out of OTHER_SHAPE"
    else:
        assert found == SECTIONS, f"{page.name}: sections {SECTIONS} in this order, found {titles}"
        assert titles[0] == "Use it", f"{page.name} begins with {titles[0]!r}"


#: Each table of the package, and the page that has a row for each of its names.
TABLES = {
    "README.md": HEADS,
    "docs/metrics.md": {**HEADS, **METRICS},
    "docs/sampling.md": SAMPLERS,
    "docs/balancing.md": BALANCERS,
    "docs/augmentation.md": AUGMENTATIONS,
}


@pytest.mark.parametrize("page", TABLES)
def test_every_name_of_a_table_has_a_row_in_its_page(page):
    rows = re.findall(r"^\| (`[^|]*) \|", (ROOT / page).read_text(encoding="utf-8"), re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`([^`]+)`", row)}
    missing = [name for name in TABLES[page] if name not in named]
    assert not missing, f"{page} has no row for {missing}"


def anchors(page):
    titles = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_the_table_of_a_balancer_names_what_a_balancer_has():
    section = re.search(r"## A balancer\n(.*?)\n## ", (ROOT / "docs" / "your_own.md").read_text(), re.DOTALL)[1]
    has = {name for name in vars(Balancer) if not name.startswith("_")}
    assert set(re.findall(r"^\| `(\w+)\b(?!\.)", section, re.MULTILINE)) == has - {"relative_weights", "weights"}
    assert set(re.findall(r"\bstep\.(\w+)", section)) <= {field.name for field in fields(Step)}


def test_every_link_leads_to_a_heading():
    for page in [*ROOT.glob("*.md"), *PAGES]:
        for target, anchor in re.findall(r"\]\(([^)#:]*)#([^)]+)\)", page.read_text(encoding="utf-8")):
            other = (page.parent / target) if target else page
            assert anchor in anchors(other), f"{page.name}: {target}#{anchor}"


def test_every_page_is_named_in_the_readme():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [page.name for page in PAGES if f"(docs/{page.name})" not in text] == []
