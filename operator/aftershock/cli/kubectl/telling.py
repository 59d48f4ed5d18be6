"""What the plugin says of Runs while it looks at them, and with which code it ends."""

import json
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import click

from aftershock.adapters.kubernetes import Api, Tree
from aftershock.cli.ending import CODES
from aftershock.core.verdict import Verdict
from aftershock.errors import ResidueError
from aftershock.reports.wording import one_line
from aftershock.runtime.cluster import asking
from aftershock.runtime.cluster.asking import Place
from aftershock.runtime.cluster.following import follow, looks


def note(line: str) -> None:
    """Say something that is no result."""
    click.echo(line, err=True)


def called(word: str, run: Mapping[str, Any]) -> str:
    """Return the command line that does `word` with a Run."""
    return f"kubectl aftershock {word} {run['metadata']['name']} -n {run['metadata']['namespace']}"


def as_tree(run: Mapping[str, Any]) -> None:
    """Print a Run as JSON."""
    click.echo(json.dumps(run))


class Lines:
    """Says what changes in Runs, a line each. `named`: which Run it is stands before it."""

    def __init__(self, *, named: bool = False) -> None:
        self._said: dict[str, list[str]] = {}
        self._named = named
        self._zero = time.monotonic()

    def __call__(self, run: Tree) -> None:
        """Take a look."""
        for line in self.news(run):
            click.echo(line)

    def news(self, run: Tree) -> list[str]:
        """Return what is new."""
        meta = run["metadata"]
        facts = _facts(run)
        before = self._said.get(meta["uid"], [])
        self._said[meta["uid"]] = facts
        who = f"{meta['namespace']}/{meta['name']}  " if self._named else ""
        return [
            f"{time.monotonic() - self._zero:7.1f} s  {who}{one_line(line)}" for line in facts if line not in before
        ]


def _facts(run: Tree) -> list[str]:
    """Return what there is to say of a Run, a line each."""
    status = run.get("status") or {}
    lines = [f"phase {status.get('phase') or 'Pending'}"]
    lines += [
        f"{one['type']}={one['status']} ({one['reason']}): {one.get('message') or ''}"
        for one in status.get("conditions") or []
    ]
    if asking.finished(run):
        rto = f", back after {status['rto']}" if status.get("rto") else ""
        lines.append(f"verdict {status.get('verdict') or 'none'}{rto}: {status.get('because') or 'no reason given'}")
    return lines


def to_the_end(api: Api, run: Tree, *, as_json: bool) -> int:
    """Follow a Run until it is finished; return the exit code of its verdict. ResidueError if it left something."""
    try:
        with nullcontext() if as_json or not sys.stdout.isatty() else _screen() as screen:
            seen = (lambda _: None) if as_json else screen or Lines()
            last = next(look for look in follow(api, run, seen, note) if asking.finished(look))
    except KeyboardInterrupt:
        note(f"the run goes on; to end it: {called('abort', run)}")
        raise
    if as_json:
        as_tree(last)
    elif screen is not None:
        click.echo("\n".join(_facts(last)))
    return _code(last)


def _screen() -> Any:
    from rich.console import Console

    from aftershock.cli.kubectl.screen import Screen

    return Screen(Console())


def _code(run: Tree) -> int:
    if left := asking.stuck(run) or asking.residue(run):
        raise _residue(run, left)
    verdict = (run.get("status") or {}).get("verdict")
    return CODES[Verdict(verdict)] if verdict else CODES[Verdict.INCONCLUSIVE]


def until_clean(place: Place, runs: Sequence[Tree]) -> int:
    """Wait until nothing is left of any of these Runs; a Run that is gone is clean. ResidueError where it needs hands."""
    wanted = {run["metadata"]["uid"] for run in runs}
    if not wanted:
        return 0
    for found in looks(place, note):
        left = [run for run in found if run["metadata"]["uid"] in wanted and not asking.clean(run)]
        for run in found:
            if run["metadata"]["uid"] in wanted and asking.clean(run):
                wanted.discard(run["metadata"]["uid"])
                click.echo(f"{run['metadata']['name']}: ended, and clean")
        if not left:
            return 0
        if hopeless := [run for run in left if asking.stuck(run) or asking.residue(run)]:
            raise _residue(hopeless[0], asking.stuck(hopeless[0]) or asking.residue(hopeless[0]))
    raise AssertionError("looks never end")


def _residue(run: Tree, left: str) -> ResidueError:
    return ResidueError(
        f"something of the Run {run['metadata']['name']} is left: {left}",
        f"`kubectl describe run {run['metadata']['name']} -n {run['metadata']['namespace']}` says what to do",
    )
