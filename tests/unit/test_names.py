"""Names of variables, parameters, attributes, functions and classes say what they are."""

import ast

from tests.unit.test_english import ROOT, files

#: Words that name nothing: a name with one of them could be said of anything.
EMPTY_NAMES = {"told", "tell", "tells", "part", "parts", "piece", "pieces", "every"}


def names_given(source):
    """Yield each name that a file gives, with its line: to functions, classes, parameters, variables, attributes."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id if isinstance(node, ast.Name) else node.attr
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.lineno, node.name


def test_no_name_is_empty():
    found = [
        f"{path.relative_to(ROOT)}:{line}: {name}"
        for path in files()
        if path.suffix == ".py"
        for line, name in names_given(path.read_text(encoding="utf-8"))
        if EMPTY_NAMES & set(name.lower().split("_"))
    ]
    assert not found, "say what these are:\n" + "\n".join(found)
