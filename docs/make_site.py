"""Lays out the pages of the site: ``python docs/make_site.py build`` writes build/docs and build/site.yml.

Pages keep the places that they have in the repository, so that their links hold; the README is the first page. Each
package's public names get a page from their docstrings.
"""

from __future__ import annotations

import ast
import re
import shutil
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
#: Sections of the site and their pages of docs/; what is in none comes under "More".
SECTIONS = {
    "Guides": ("concepts", "recipes", "data", "encoders", "inference", "report", "hub", "glossary", "limits"),
    "Tasks": ("task_types", "tagging", "multi_label", "question_answering", "images", "metrics"),
    "Training": ("sampling", "balancing", "training_methods", "distillation", "augmentation", "averaging", "arguments"),
    "Sharing": ("sharing", "branches", "heads", "validation", "calibration", "relations"),
    "Production": ("export", "serving", "speed", "scaling"),
    "Your own": ("your_own",),
}
#: Packages with public names for those who write Python.
PACKAGES = (
    *("hf_mtl", "hf_mtl.balancers", "hf_mtl.data", "hf_mtl.demo", "hf_mtl.distillation", "hf_mtl.export"),
    *("hf_mtl.heads", "hf_mtl.inference", "hf_mtl.metrics", "hf_mtl.recipe", "hf_mtl.relations", "hf_mtl.samplers"),
    *("hf_mtl.serving", "hf_mtl.surgery", "hf_mtl.trainer", "hf_mtl.training_methods", "hf_mtl.validation"),
    "hf_mtl_light",
)


def main(target: Path) -> None:
    """Write pages and settings under a folder, whose earlier pages are removed."""
    docs = target / "docs"
    shutil.rmtree(docs, ignore_errors=True)
    for path in pages():
        place = docs / (path if path != Path("README.md") else Path("index.md"))
        place.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".md":
            place.write_text(with_links((ROOT / path).read_text(encoding="utf-8"), path), encoding="utf-8")
        else:
            shutil.copyfile(ROOT / path, place)
    for package in PACKAGES:
        place = docs / "api" / f"{package}.md"
        place.parent.mkdir(exist_ok=True)
        place.write_text(api_page(package), encoding="utf-8")
    settings = {"INHERIT": str(ROOT / "mkdocs.yml"), "nav": navigation()}
    (target / "site.yml").write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")


def pages() -> list[Path]:
    """Return what the site shows or links to, by its place in the repository."""
    patterns = ("*.md", "LICENSE", "docs/*.md", "docs/images/*.*", "benchmarks/*.py", "benchmarks/**/*.md")
    results = ("benchmarks/results/*.jsonl", "examples/**/*.*")
    found = [path.relative_to(ROOT) for pattern in (*patterns, *results) for path in ROOT.glob(pattern)]
    return sorted(path for path in found if "data" not in path.parts and path.parts[0] != "build")


def with_links(text: str, path: Path) -> str:
    """Return a page whose links to folders lead to a page of them, and to the README to the first page."""
    up = "../" * (len(path.parts) - 1)
    text = re.sub(r"\]\(((?:\.\./)*)README\.md", rf"]({up}index.md", text)
    return re.sub(r"\]\(((?:\.\./)*)benchmarks/results/?\)", rf"]({up}benchmarks/NOTES.md)", text)


def api_page(package: str) -> str:
    """Return the page of a package: its docstring and its public names."""
    source = ROOT / Path(*package.split(".")) / "__init__.py"
    tree = ast.parse(source.read_text(encoding="utf-8"))
    names = public_names(tree)
    head = f"# {package}\n\n{' '.join((ast.get_docstring(tree) or '').split(chr(10) * 2)[0].split())}\n\n"
    return head + "".join(f"::: {package}.{name}\n\n" for name in names)


def public_names(tree: ast.Module) -> list[str]:
    """Return what ``__all__`` lists, in its order, as far as it is written out."""
    for node in tree.body:
        is_all = isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__"
        if is_all and isinstance(node.value, ast.List):
            return [item.value for item in node.value.elts if isinstance(item, ast.Constant)]
    return []


def navigation() -> list[dict[str, object]]:
    """Return the site's sections."""
    there = {path.stem: f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md"))}
    nav: list[dict[str, object]] = [{"Start": "index.md"}]
    for title, names in SECTIONS.items():
        nav.append({title: [there.pop(name) for name in names if name in there]})
    if there:
        nav.append({"More": list(there.values())})
    results = sorted((ROOT / "benchmarks" / "results").glob("*.md"))
    nav.append({"API": [f"api/{package}.md" for package in PACKAGES]})
    nav.append({"Benchmarks": ["benchmarks/NOTES.md", *(f"benchmarks/results/{path.name}" for path in results)]})
    nav.append({"Changelog": "CHANGELOG.md"})
    return [*nav, {"Contributing": "CONTRIBUTING.md"}]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
