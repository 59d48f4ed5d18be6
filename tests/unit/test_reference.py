"""The reference says what the faults say."""

import re
from pathlib import Path

from aftershock.faults.registry import FAULTS
from aftershock.reports import kinds
from aftershock.reports.reference import FILE, text

ROOT = Path(__file__).parent.parent.parent


def test_the_page_is_up_to_date() -> None:
    assert (ROOT / FILE).read_text(encoding="utf-8") == text(), "run: python -m aftershock.reports.reference"


def test_the_page_of_kinds_is_up_to_date() -> None:
    assert (ROOT / kinds.FILE).read_text(encoding="utf-8") == kinds.text(), "run: python -m aftershock.reports.kinds"


def test_the_page_of_kinds_leads_nowhere_that_is_not_on_it() -> None:
    page = kinds.text()
    headings = {line.removeprefix("## ").lower() for line in page.splitlines() if line.startswith("## ")}
    assert {"experiment", "stack", "era", "injection", "link", "objective"} <= headings
    assert set(re.findall(r"\(#(\w+)\)", page)) <= headings


def test_every_fault_is_in_it_with_its_parameters() -> None:
    page = text()
    for name, fault in FAULTS.items():
        assert f"## `{name}`" in page
        for field in fault.parameters.__struct_encode_fields__:
            assert f"| `{field}` |" in page
