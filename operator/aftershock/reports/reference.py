"""The reference of faults, generated from the faults themselves: `python -m aftershock.reports.reference` writes it.

What it says is what stands in each fault's own module: nothing to keep in step, and a test that sees if it was not.
"""

import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, get_args, get_origin

import msgspec

from aftershock.faults.fault import Fault
from aftershock.faults.registry import FAULTS

FILE = Path("docs") / "reference" / "faults.md"
HEAD = """# Faults

Generated from `operator/aftershock/faults/`; `aftershock catalog faults` prints the short form.

Every fault is held for a lease: what it leaves at the target is called `aftershock.<fault>.<run>.<expiry>`, and is healed
at the end, or by the reaper when the expiry is past. Every fault is proved by a second observer before, during and after.
Durations are written `250ms`, `30s`, `1m30s`; shares `50%`.

A fault stands on an experiment's timeline, its parameters under `with:`:

```yaml
timeline:
- {at: 2s, for: 25s, fault: latency, target: app-to-primary, with: {latency: 100ms, jitter: 10ms}}
```

Of a fault of a link, `direction` says which way it acts: `upstream` on what the client sends, `downstream` on what it
receives. `toxicity` is the share of connections that meet it, 7% at the least: fewer could not be proved.
"""
TARGETS = {
    "database": "a database of the Stack",
    "cache": "a cache of the Stack",
    "link": "a link of the Stack, through its Toxiproxy",
    "workload": "a workload of the Stack",
    "region": "a region of the Stack: one that it lists, or that a workload or database of it names",
    "node": "a node that the Stack lists",
    "part": "a workload, database or cache of the Stack, as the `to:` of its links names it",
    "resolver": "the DNS server of the Stack, its `resolver`",
    "load": "the experiment's load (`target: load`)",
}


def text() -> str:
    """Return the whole page."""
    return "\n".join([HEAD, *(line for name in sorted(FAULTS) for line in _fault(FAULTS[name]))])


def _fault(fault: Fault) -> Iterator[str]:
    yield f"## `{fault.name}`"
    yield ""
    yield f"{fault.summary} Target: {TARGETS[fault.target]}."
    yield ""
    yield inspect.cleandoc(sys.modules[fault.parameters.__module__].__doc__ or "")
    yield ""
    fields = msgspec.structs.fields(fault.parameters)
    if fields:
        yield inspect.cleandoc(fault.parameters.__doc__ or "")
        yield ""
        yield "| `with:` | type | default |"
        yield "|---|---|---|"
        yield from (f"| `{field.encode_name}` | {_type(field.type)} | {_default(field)} |" for field in fields)
        yield ""


def _type(kind: object) -> str:
    name = kind.__name__ if isinstance(kind, type) else str(kind)
    if get_origin(kind) is Literal:
        *most, last = (f"`{choice}`" for choice in get_args(kind))
        return f"{', '.join(most)} or {last}"
    plain = name.replace("aftershock.model.units.", "").replace(" | None", "")
    return {"int": "whole number", "float": "number", "str": "text"}.get(plain, plain.lower())


def _default(field: msgspec.structs.FieldInfo) -> str:
    if field.default is msgspec.NODEFAULT:
        return "required"
    return "none" if field.default is None else f"`{field.default}`"


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
