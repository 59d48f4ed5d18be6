"""A Run of the cluster as it goes, on a terminal: its phase among all phases, and its conditions."""

import time
from typing import Any, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from aftershock.adapters.kubernetes import Tree
from aftershock.cli.live import PHASES
from aftershock.reports.wording import one_line

COLOURS = {"True": "green", "False": "red", "Unknown": "yellow"}


class Screen:
    """The live picture. A context: the terminal is given back however the looking ends."""

    def __init__(self, console: Console) -> None:
        self._run: Tree = {}
        self._zero = time.monotonic()
        self._live = Live(console=console, get_renderable=self.picture, refresh_per_second=4, transient=True)

    def __enter__(self) -> Self:
        """Take the terminal."""
        self._live.__enter__()
        return self

    def __exit__(self, *problem: Any) -> None:
        """Give the terminal back."""
        self._live.__exit__(*problem)

    def __call__(self, run: Tree) -> None:
        """Take a look in."""
        self._run = run

    def picture(self) -> RenderableType:
        """Draw what was seen last."""
        status = self._run.get("status") or {}
        return Group(self._head(status), self._conditions(status))

    def _head(self, status: Tree) -> Text:
        text = Text(f"{self._run.get('metadata', {}).get('name', '…')}  ", "bold")
        phase = status.get("phase") or "Pending"
        for each in PHASES:
            text.append(f" {each} ", "reverse bold" if each == phase else "dim")
        return text.append(f"  {time.monotonic() - self._zero:5.1f} s")

    def _conditions(self, status: Tree) -> Table:
        table = Table.grid(padding=(0, 2))
        for one in status.get("conditions") or []:
            table.add_row(
                Text(one["type"], COLOURS.get(one["status"], "")),
                Text(one["reason"]),
                Text(one_line(str(one.get("message") or "")), "dim", no_wrap=True, overflow="ellipsis"),
            )
        return table
