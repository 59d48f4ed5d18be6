"""The CRDs: the chart's are what the types say."""

from pathlib import Path

import pytest

from aftershock.runtime.cluster import crds

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.parametrize("path", crds.templates(), ids=lambda path: path.stem)
def test_the_charts_are_what_the_types_say(path: Path) -> None:
    made = crds.templates()[path]
    assert (ROOT / path).read_text(encoding="utf-8") == made, "run: python -m aftershock.runtime.cluster.crds"


def test_the_chart_has_no_other() -> None:
    assert {ROOT / path for path in crds.templates()} == set((ROOT / crds.FOLDER).iterdir())
