"""The protos say where their code belongs in each language, so that nobody has to patch them."""

from __future__ import annotations

from pathlib import Path

import pytest

PROTOS = sorted((Path(__file__).parents[1] / "proto").rglob("*.proto"))


@pytest.mark.parametrize("path", PROTOS, ids=lambda path: path.stem)
@pytest.mark.parametrize(
    "option",
    [
        "go_package",
        "java_package",
        "java_multiple_files",
        "java_outer_classname",
        "csharp_namespace",
        "php_namespace",
        "ruby_package",
    ],
)
def test_a_proto_has_the_options_of_every_language(path: Path, option: str) -> None:
    assert f"\noption {option} = " in path.read_text()
