"""A Space as the Hub runs it, in headless Chromium: what was pushed, opened, a text typed, its answers read."""

import os
import shutil
import socket
import subprocess
import sys
from contextlib import contextmanager
from importlib.metadata import distribution

import pytest
from packaging.requirements import Requirement

from hf_mtl import MultiTaskPipeline
from hf_mtl.demo import shown
from tests.hub import serving
from tests.unit.pipelines.scripts import make_model, make_tokenizer

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
TEXT = "Play the film in New York!"

_DOWNLOAD = """
import sys
from huggingface_hub import snapshot_download
snapshot_download("anna/page", repo_type="space", local_dir=sys.argv[1])
"""


@contextmanager
def opened(url, width):
    """Yield a page of the browser, and what went wrong in it."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": width, "height": 1000})
        faults = []
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.goto(url)
        yield page, faults
        browser.close()


@pytest.fixture(scope="module")
def space(tmp_path_factory):
    """Yield the folder of a Space that was pushed, and the address at which its app listens."""
    pytest.importorskip("gradio", reason="make test-demo runs it, in an environment with Gradio")
    pytest.importorskip("playwright", reason="make test-demo runs it, in an environment with playwright")
    if BROWSER is None:
        pytest.skip("no Chromium is installed")
    place = tmp_path_factory.mktemp("hub")
    model, folder = place / "run", place / "space"
    make_model().save_pretrained(model)
    make_tokenizer().save_pretrained(model)
    with serving(place) as hub:
        pushed = hub.run("-m", "hf_mtl.cli", "push", model, "anna/assistant", "--space", "anna/page")
        assert pushed.returncode == 0, pushed.stderr
        loaded = hub.run("-c", _DOWNLOAD, folder)
        assert loaded.returncode == 0, loaded.stderr
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = str(free.getsockname()[1])
        variables = hub.environment(GRADIO_SERVER_PORT=port, GRADIO_ANALYTICS_ENABLED="False", PYTHONUNBUFFERED="1")
        app = subprocess.Popen(
            [sys.executable, folder / "app.py"],
            cwd=folder,
            env=variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        with app:
            try:
                printed = []
                while not any("http://127.0.0.1" in line for line in printed):
                    printed.append(app.stdout.readline())
                    assert printed[-1], "".join(printed)
                yield folder, f"http://127.0.0.1:{port}"
            finally:
                app.terminate()


def test_the_requirements_of_a_space_are_what_its_app_runs_with(space):
    [line] = (space[0] / "requirements.txt").read_text().splitlines()
    needed = Requirement(line)
    found = distribution(needed.name)
    assert needed.specifier.contains(found.version, prereleases=True)
    for extra in needed.extras:
        of_extra = [
            requirement.name
            for requirement in map(Requirement, found.requires)
            if requirement.marker is not None and requirement.marker.evaluate({"extra": extra})
        ]
        assert of_extra
        for name in of_extra:
            distribution(name)  # raises where it is not installed


@pytest.mark.parametrize("width", [1280, 390])
def test_a_text_is_typed_into_a_space_and_each_task_answers(space, width):
    expected = MultiTaskPipeline(make_model(), make_tokenizer())(TEXT, top_k=None)
    with opened(space[1], width) as (page, faults):
        page.get_by_label("Text", exact=True).fill(TEXT)
        page.get_by_role("button", name="Answer").click()
        block = page.locator(".block", has=page.get_by_text("names", exact=True)).last
        highlighted = block.locator(".token.highlighted")
        highlighted.first.wait_for()
        spans = [tuple(span.split()) for span in highlighted.all_inner_texts()]
        assert [(word, label.lower()) for *word, label in spans] == [
            (span["word"].split(), span["entity_group"]) for span in expected["names"]
        ]
        text = page.locator("body").inner_text()
        assert set(expected) <= {line.strip() for line in text.splitlines()}
        for name in ("topic", "tones", "mood"):
            for label, score in shown("bars", expected[name]).items():
                assert f"{label}\n{score:.0%}" in text
        assert str(expected["stars"]["value"])[:8] in text
        # Nothing lies beyond the right edge.
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert faults == []
        if folder := os.environ.get("SCREENSHOTS"):
            page.screenshot(path=f"{folder}/space-{width}.png", full_page=True)
