"""A run told in lines: for logs, pipes, and terminals that can't do more; or as JSON lines for machines."""

import sys

from aftershock.core import shards
from aftershock.core.history import (
    Aborting,
    Any_,
    Begun,
    Cleaned,
    Entered,
    Errored,
    Fronting,
    Healed,
    Intended,
    Ledgered,
    Noted,
    Observed,
    Sharded,
    Slice,
    encode,
)
from aftershock.reports.wording import one_line


class Plain:
    """Says what changes, a line each, with the run second it happened at."""

    def __init__(self) -> None:
        self._held: dict[int, bool] = {}

    def __call__(self, event: Any_) -> None:
        """Tell one event, if it is worth a line."""
        text = self.line(event)
        if text:
            sys.stdout.write(f"{event.at:7.1f} s  {text}\n")
            sys.stdout.flush()

    def line(self, event: Any_) -> str:
        """Return what to say of an event, control characters made visible; empty where it is no news."""
        return one_line(self._line(event))

    def _line(self, event: Any_) -> str:
        match event:
            case Begun():
                return f"run {event.run}"
            case Entered():
                return f"phase {event.phase}" + (f": {event.why}" if event.why else "")
            case Fronting():
                return f"put Toxiproxy in front of the Service {event.service}; lease {event.lease}"
            case Intended():
                return f"inject {event.fault} at {event.target}; lease {event.lease}"
            case Observed():
                return self._observed(event)
            case Healed():
                return f"healed ({event.by}): {event.saw}" if event.clean else f"NOT healed: {event.saw}"
            case _:
                return _rarely(event)

    def _observed(self, event: Observed) -> str:
        """Only what changes: a fault that goes on being there is no news."""
        if event.when == "during" and self._held.get(event.injection) == event.holds:
            return ""
        if event.when == "during":
            self._held[event.injection] = event.holds
        answer = "is there" if event.holds else "is not there"
        return f"{event.when} fault: it {answer}; {event.observer} saw: {event.saw}"


def _rarely(event: Any_) -> str:
    match event:
        case Ledgered():
            read = f"{event.acknowledged} acknowledged, {event.lost_count} of them lost, {event.indeterminate} indeterminate"
            return (
                f"ledger {event.indicator}: {read}"
                if event.read
                else f"ledger {event.indicator}: not read: {event.saw}"
            )
        case Aborting():
            return f"abort ({event.reason}): {event.message}"
        case Cleaned():
            left = [f"left: {one}" for one in event.left]
            unasked = [f"could not be asked: {one}" for one in event.unasked]
            return "; ".join([*left, *unasked]) or "clean: nothing is left"
        case Errored():
            return f"error: {event.problem}; try: {event.advice}"
        case Sharded():
            return shards.said(event)
        case Noted():
            return f"note: {event.text}"
        case _:
            return ""


def json_lines(event: Any_) -> None:
    """Print the event as the journal has it, but for slices, which a reader can follow in the journal itself."""
    if not isinstance(event, Slice):
        sys.stdout.buffer.write(encode(event))  # JSON is UTF-8, whatever the terminal speaks
        sys.stdout.buffer.flush()
