"""What examples in docstrings find: a tiny encoder's folder, its tokenizer, and a folder to write into."""

from __future__ import annotations

import pytest

from tests.conftest import encoder_folder, tokenizer  # noqa: F401  # fixtures of the suite, here for doctests


@pytest.fixture(autouse=True)
def _names_of_examples(
    request: pytest.FixtureRequest, doctest_namespace: dict[str, object], tmp_path_factory: pytest.TempPathFactory
) -> None:
    if isinstance(request.node, pytest.DoctestItem):
        doctest_namespace["encoder"] = str(request.getfixturevalue("encoder_folder"))
        doctest_namespace["tokenizer"] = request.getfixturevalue("tokenizer")
        doctest_namespace["folder"] = str(tmp_path_factory.mktemp("example"))
