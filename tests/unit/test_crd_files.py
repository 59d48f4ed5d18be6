"""The CRDs: the chart's are what the types say."""

from pathlib import Path
from typing import Any

import pytest

from aftershock.runtime.cluster import crds

Tree = dict[str, Any]
ROOT = Path(__file__).parent.parent.parent


@pytest.mark.parametrize("path", crds.templates(), ids=lambda path: path.stem)
def test_the_charts_are_what_the_types_say(path: Path) -> None:
    made = crds.templates()[path]
    assert (ROOT / path).read_text(encoding="utf-8") == made, "run: python -m aftershock.runtime.cluster.crds"


def test_the_chart_has_no_other() -> None:
    assert {ROOT / path for path in crds.templates()} == set((ROOT / crds.FOLDER).iterdir())


def undescribed(schema: Tree, way: str) -> list[str]:
    found = []
    for name, inner in schema.get("properties", {}).items():
        here = f"{way}.{name}"
        if not inner.get("description"):
            found.append(here)
        found += undescribed(inner.get("items", inner), here)
    return [each for each in found if ".metadata" not in each]  # which the API server describes


@pytest.mark.parametrize("tree", crds.crds(), ids=lambda tree: tree["spec"]["names"]["kind"])
def test_every_field_is_described(tree: Tree) -> None:
    assert undescribed(tree["spec"]["versions"][0]["schema"]["openAPIV3Schema"], tree["spec"]["names"]["kind"]) == []
