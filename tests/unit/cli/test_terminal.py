"""No text of a stranger reaches a terminal as anything but text."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.table import Table
from rich.text import Text
from typer.testing import CliRunner

from hf_mtl.cli import app
from hf_mtl.cli._terminal import _Console
from hf_mtl_light.text import terminal_text

#: Names as strangers write them: any character, with those that a terminal or rich obeys more often.
NAMES = st.text(st.one_of(st.sampled_from("\x1b\x07\x08\r\x9b\x90\u202e\u2066\u2028[]/"), st.characters()), max_size=40)
OBEYED = {chr(code) for code in [*range(0x20), *range(0x7F, 0xA0)]} - {"\n", "\t"}
HIDING = set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u2028\u2029\u200e\u200f\u200b\ufeff")


@given(NAMES)
def test_a_text_for_a_terminal_holds_nothing_that_it_obeys(name):
    shown = terminal_text(name)
    assert not (OBEYED | HIDING) & set(shown)
    assert len(shown) == len(name)
    shown.encode()


@given(NAMES, st.booleans())
def test_a_console_writes_its_own_escape_sequences_alone(name, is_terminal):
    def written(text):
        stream = io.StringIO()
        console = _Console(
            file=stream, force_terminal=is_terminal, color_system="standard", width=200, markup=False, emoji=False
        )
        table = Table("task", "label")
        table.add_row(Text(text, style="bold"), Text("x"))
        console.print(table)
        console.print(text, highlight=False, soft_wrap=True)
        return stream.getvalue()

    count = written("a").count("\x1b")
    lines = max(1, *(len(written(text).splitlines()) for text in (name, "a")))
    found = written(name)
    assert not (OBEYED - {"\x1b"} | HIDING) & set(found)
    assert found.count("\x1b") <= count * lines


@pytest.mark.parametrize("command", ["heads", "bad task", "predict"])
def test_a_models_labels_reach_no_terminal_raw(model_folder, tmp_path, command):
    (tmp_path / "in.jsonl").write_text('{"text": "good"}\n')
    args = {
        "heads": ["heads", str(model_folder)],
        "bad task": ["export", str(model_folder), str(tmp_path / "out"), "--to", "onnx", "--task", "\x1b[31mx"],
        "predict": ["predict", str(model_folder), str(tmp_path / "in.jsonl"), "-o", "-"],
    }[command]
    result = CliRunner().invoke(app, args)
    assert "\x1b" not in result.output
    assert "art" in result.output or command != "heads"
    assert "[red]" in result.output or command != "heads"
