"""The walls of the house: which part may import which."""

import ast
import functools
import graphlib
import sys
from pathlib import Path

import pytest

import hf_mtl
import hf_mtl_light
from tests import inner_loop

PACKAGE = Path(hf_mtl.__file__).parent
LIGHT = Path(hf_mtl_light.__file__).parent

#: Parts of the package, highest first. A part imports only parts of lower rows.
ROWS = [
    {"cli"},
    {"relations"},
    {"validation"},
    {"recipe", "pipelines", "export", "surgery", "report", "distillation", "demo", "serving", "sklearn"},
    {"trainer"},
    {"arguments"},
    {"inference", "training_methods"},
    {"model", "data"},
    {"stock"},
    {"hub"},
    {"model_card"},
    {"augmentation"},
    {"heads", "samplers", "balancers", "metrics"},
    {"encoder"},
    {"configuration"},
    {"_contracts", "_later", "_names", "_options", "compatibility"},
]
#: The lowest row of all, which any part imports: what needs neither torch nor transformers. Its own parts, likewise.
LIGHT_ROWS = [
    {"__main__"},
    {"_command", "mlflow"},
    {"_predictor"},
    {"inference", "decisions"},
    {"answering", "encoding"},
    {"description"},
    {"tags"},
    {"words", "numerics", "names", "text", "outputs", "folders", "pictures", "pixels"},
    {"errors"},
]
#: Parts that may import others of their own row.
FREE = {"recipe"}


@functools.cache
def tree(file):
    return ast.parse(file.read_text())


@functools.cache
def parts(package=PACKAGE):
    return sorted(
        p.stem
        for p in package.iterdir()
        if (p.suffix == ".py" or (p / "__init__.py").exists()) and p.stem != "__init__"
    )


def imported_by(part, package=PACKAGE):
    files = [package / f"{part}.py"] if (package / f"{part}.py").exists() else (package / part).rglob("*.py")
    for file in files:
        for node in ast.walk(tree(file)):
            names = []
            if isinstance(node, ast.ImportFrom) and node.module:
                is_whole = node.module == package.name
                names = [f"{node.module}.{alias.name}" for alias in node.names] if is_whole else [node.module]
            elif isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            for name in names:
                pieces = name.split(".")
                if pieces[0] == package.name and len(pieces) > 1 and pieces[1] in parts(package) and pieces[1] != part:
                    yield file, pieces[1]


def row_of(part, rows=ROWS):
    return next(i for i, row in enumerate(rows) if part in row)


def test_every_part_has_a_place():
    assert set(parts()) == set().union(*ROWS)
    assert set(parts(LIGHT)) == set().union(*LIGHT_ROWS)


@pytest.mark.parametrize("part", parts())
def test_imports_point_one_way(part):
    for file, other in imported_by(part):
        allowed = row_of(other) > row_of(part) or (part in FREE and row_of(other) == row_of(part))
        assert allowed, f"{file.relative_to(PACKAGE)} imports hf_mtl.{other}, which does not lie below {part}"


@pytest.mark.parametrize("part", parts(LIGHT))
def test_imports_point_one_way_without_torch(part):
    for file, other in imported_by(part, LIGHT):
        allowed = row_of(other, LIGHT_ROWS) > row_of(part, LIGHT_ROWS)
        assert allowed, f"{file.relative_to(LIGHT)} imports hf_mtl_light.{other}, which does not lie below {part}"


def modules():
    """Return each module's name and the names of those that it imports, wherever in it that stands."""
    files = {
        ".".join(file.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__"): file
        for package in (PACKAGE, LIGHT)
        for file in package.rglob("*.py")
    }
    graph = {}
    for name, file in files.items():
        found = set()
        for node in ast.walk(tree(file)):
            if isinstance(node, ast.ImportFrom) and node.module:
                found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
            elif isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
        graph[name] = found & set(files)
    return graph


def test_no_files_import_each_other_in_a_circle():
    graphlib.TopologicalSorter(modules()).prepare()


def test_the_lowest_part_imports_numpy_and_nothing_else_that_is_installed():
    allowed = {*sys.stdlib_module_names, "numpy", "hf_mtl_light"}
    for file in LIGHT.rglob("*.py"):
        for node in ast.walk(tree(file)):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [node.module]
            # tokenizers is imported where a graph's own tokenizer is opened.
            wanted = {name.partition(".")[0] for name in names} - {"tokenizers"}
            assert wanted <= allowed, f"{file.relative_to(LIGHT)} imports {wanted - allowed}"


def test_no_file_holds_more_than_one_screenful_of_ideas():
    long = {
        str(f.relative_to(PACKAGE.parent)): n
        for package in (PACKAGE, LIGHT)
        for f in package.rglob("*.py")
        if (n := len(f.read_text().splitlines())) > 400
    }
    assert not long, f"split these: {long}"


#: Whose kind `UserError` and its subclasses have: raised bare, the command line takes a user's mistake for a bug.
_OF_USERS = {"ValueError", "TypeError", "KeyError", "ImportError"}


def test_what_a_user_can_mend_is_raised_as_a_user_error():
    bare = []
    for package in (PACKAGE, LIGHT):
        for file in package.rglob("*.py"):
            for node in ast.walk(tree(file)):
                raised = node.exc if isinstance(node, ast.Raise) else None
                raised = raised.func if isinstance(raised, ast.Call) else raised
                if isinstance(raised, ast.Name) and raised.id in _OF_USERS:
                    bare.append(f"{file.relative_to(package.parent)}:{node.lineno}")
    assert not bare, f"raise hf_mtl_light.errors.UserError, or its subclass of that kind: {bare}"


def test_the_files_of_the_inner_loop_are_there_and_in_order():
    assert list(inner_loop.FILES) == sorted(set(inner_loop.FILES))
    absent = [name for name in inner_loop.FILES if not (PACKAGE.parent / "tests" / name).is_file()]
    assert not absent, f"tests/fast.txt names what is not there: {absent}"
