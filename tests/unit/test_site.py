"""The site's pages: all of docs/, and each public name of the packages."""

import ast
import importlib
import inspect
import runpy
from pathlib import Path

import pytest
import yaml

from tests.pages import ROOT

SITE = runpy.run_path(str(ROOT / "docs" / "make_site.py"))


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    target = tmp_path_factory.mktemp("site")
    SITE["main"](target)
    return target


def listed(nav):
    """Return the pages that the navigation leads to."""
    if isinstance(nav, str):
        return [nav]
    return [page for part in (nav.values() if isinstance(nav, dict) else nav) for page in listed(part)]


def test_the_navigation_leads_to_every_page_once(site):
    found = listed(yaml.safe_load((site / "site.yml").read_text())["nav"])
    assert len(found) == len(set(found))
    assert all((site / "docs" / page).is_file() for page in found)
    pages = {f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")}
    assert pages <= set(found)


def test_sections_name_pages_that_exist():
    for names in SITE["SECTIONS"].values():
        assert [name for name in names if not (ROOT / "docs" / f"{name}.md").is_file()] == []


@pytest.mark.parametrize("package", SITE["PACKAGES"])
def test_each_package_shows_its_public_names(site, package):
    text = (site / "docs" / "api" / f"{package}.md").read_text()
    names = [line.removeprefix(f"::: {package}.") for line in text.splitlines() if line.startswith(":::")]
    assert names
    assert all(hasattr(importlib.import_module(package), name) for name in names)


@pytest.mark.parametrize("package", [name for name in SITE["PACKAGES"] if name != "hf_mtl"])
def test_public_names_are_assigned_one_by_one(package):
    """The site reads sources without running them, and finds no name that is unpacked from a tuple."""
    tree = ast.parse((ROOT / Path(*package.split(".")) / "__init__.py").read_text())
    unpacked = []
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("hf_mtl"):
            source = inspect.getsource(importlib.import_module(node.module))
            found = {
                name.id
                for own in ast.parse(source).body
                if isinstance(own, ast.Assign)
                for target in own.targets
                if isinstance(target, ast.Tuple)
                for name in target.elts
            }
            unpacked += [f"{node.module}.{alias.name}" for alias in node.names if alias.name in found]
    assert unpacked == []
