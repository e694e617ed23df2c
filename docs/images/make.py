"""Draw the README's pictures from the run that ``make demo`` leaves in runs/demo.

    COLUMNS=110 FORCE_COLOR=1 hf-mtl train examples/demo/recipe.yaml training.logging_steps=5 --overwrite > train.txt
    python docs/images/make.py train.txt

Needs the extra ``report`` and a Chromium on the path.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

from markdown_it import MarkdownIt
from rich.console import Console
from rich.text import Text

from hf_mtl.report import read_run, render_report

FOLDER = Path(__file__).parent
RUN = Path("runs/demo")
STYLE = (
    "body{font:15px/1.5 sans-serif;max-width:800px;margin:24px auto;color:#1f2328}"
    "table{border-collapse:collapse}td,th{border:1px solid #d1d9e0;padding:4px 10px}"
    "code,pre{background:#f6f8fa;font-size:13px}pre{padding:10px}"
)


def draw_terminal(output: Path) -> None:
    """Write what a command printed, colours included, as train.svg."""
    # stderr is no terminal: no control codes but colours.
    console = Console(record=True, width=112, file=open("/dev/null", "w", encoding="utf-8"))  # noqa: SIM115
    console.print(Text("$ hf-mtl train examples/demo/recipe.yaml", style="bold"))
    console.print(Text.from_ansi(output.read_text(encoding="utf-8")))
    svg = console.export_svg(title="hf-mtl train")
    # Its fonts come from a server; a monospaced one of the reader's does as well.
    (FOLDER / "train.svg").write_text(re.sub(r"@font-face \{.*?\}", "", svg, flags=re.DOTALL), encoding="utf-8")


def photograph(html: str, name: str, height: int) -> None:
    """Write the top of a page as a PNG, 900 pixels wide."""
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "page.html"
        page.write_text(html, encoding="utf-8")
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--window-size=900,{height}"]
        subprocess.run(["chromium", *options, f"--screenshot={FOLDER / name}", page.as_uri()], check=True)


def card_html() -> str:
    """Return the model card as a page."""
    text = re.sub(r"\A---\n.*?\n---\n", "", (RUN / "README.md").read_text(encoding="utf-8"), flags=re.DOTALL)
    body = MarkdownIt("commonmark", {"html": True}).enable("table").render(text)
    return f"<!doctype html><meta charset='utf-8'><style>{STYLE}</style>{body}"


if __name__ == "__main__":
    draw_terminal(Path(sys.argv[1]))
    photograph(render_report(read_run(RUN)), "report.png", 1600)
    photograph(card_html(), "card.png", 1600)
