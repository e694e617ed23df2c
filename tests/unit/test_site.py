"""The site's pages: all of docs/, and each public name of the packages."""

import importlib
import runpy

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
