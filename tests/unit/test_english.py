"""The words of messages, docstrings, comments and pages: plain technical English, one meaning each."""

import ast
import io
import re
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
#: What is not written, and what is written in its place. docs/glossary.md has the words that have one meaning.
INSTEAD = {
    r"behind": "after; or name the place",
    r"stands? (?!for\b|-alone)\w+|stood|standing": "is, lies in, is stored in, has",
    r"stands?(?=[.,;:)])": "is, lies in, is stored in, has",
    r"told|tells?|telling": "shown, known, given, reported, says, distinguished",
    r"(go|goes|going|gone|went) on\b(?! strike)": "resume, continue",
    r"goes before|go before": "takes precedence over",
    r"anew|begun": "again, from scratch, started",
    r"(of|on) (its|their|his|her|one's) own": "its own, a custom ...; or nothing",
    r"knows? (nothing|no|not)\b": "supports ... only, lacks",
    r"ways? out|way in": "export, other formats; what to do",
    r"honest\w*|its business|thanks to": "say what is the case",
    r"there is not\b|ha(s|ve) not\b(?! (been|yet|changed|run))": "is missing, does not",
    r"takes? leave|leaves? for": "is exported as",
    r"be it|nobody|nothing but": "plain words: only, no",
    r"(go|goes|going|gone|went) along": "is included",
    r"that there (is|are)(?=[,.;:)]| up to| in one)": "existing; or nothing",
    r"hands? (\w+ ){1,3}on": "passes on",
    r"(wonder|remark|believe)s?": "warns, logs, expects: libraries have no opinions",
    r"lies? apart": "differ",
}
# A space may be a line's end.
WORDS = re.compile("|".join(rf"\b(?:{pattern})(?!\w)" for pattern in INSTEAD).replace(" ", r"\s+"), re.IGNORECASE)


def tokens(source):
    return tokenize.generate_tokens(io.StringIO(source).readline)


def prose_of_code(source):
    """Yield what a person reads of a Python file: (line, text) of its strings and comments."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
            yield node.lineno, node.value
    for token in tokens(source):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string


def found_in(path):
    """Return each unwanted wording of a file, with its line and what to write."""
    text = path.read_text(encoding="utf-8")
    prose = prose_of_code(text) if path.suffix == ".py" else enumerate(text.splitlines(), 1)
    return [
        f"{path.relative_to(ROOT)}:{line + part.count(chr(10), 0, match.start())}: {match.group()!r}"
        for line, part in prose
        for match in WORDS.finditer(part)
    ]


def files():
    folders = ("hf_mtl", "hf_mtl_light", "examples")
    code = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    return sorted([*code, *ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])


def test_no_file_has_unwanted_words():
    found = [place for path in files() for place in found_in(path)]
    hints = "\n".join(f"  {pattern}: {instead}" for pattern, instead in INSTEAD.items())
    listed = "\n".join(found)
    assert not found, f"write these in other words:\n{listed}\n{hints}"


@pytest.mark.parametrize(
    "text",
    [
        "the text behind it",
        "resume goes on",
        "x stands in y",
        "Nothing is told",
        "a pooler of its own",
        "begin anew",
        "its code goes along",
    ],
)
def test_unwanted_words_are_found(text):
    assert WORDS.search(text)


@pytest.mark.parametrize("text", ["H stands for hidden size", "its own pooler", "retold", "the goal on top"])
def test_other_words_are_not(text):
    assert not WORDS.search(text)


def test_strings_docstrings_and_comments_of_code_are_read():
    source = '"""A b."""\nx = f"c {1} d"  # e f\n'
    assert [text for _, text in prose_of_code(source)] == ["A b.", "c ", " d", "# e f"]
