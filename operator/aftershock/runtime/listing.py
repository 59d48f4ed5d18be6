"""What there is to use, as lines: faults with their parameters, experiments, eras, stacks."""

from collections.abc import Iterator

import msgspec

from aftershock.adapters import catalog as shipped
from aftershock.adapters import home
from aftershock.faults.fault import Fault
from aftershock.faults.registry import FAULTS
from aftershock.runtime.loading import ORDER


def catalog() -> dict[str, list[str]]:
    """Return heading to lines."""
    return {
        "faults": [line for name in sorted(FAULTS) for line in _fault(FAULTS[name])],
        "experiments": [f"{path.stem:30} {_about(path.read_text(encoding='utf-8'))}" for path in shipped.experiments()],
        "eras": [era for era in ORDER if era in {path.stem for path in shipped.eras()}],
        "stacks": [_to_start(path.stem.removeprefix("values-")) for path in shipped.values()]
        + [f"{path.parent.name} (on this machine)" for path in sorted(home.stacks().glob("*/stack.yaml"))],
    }


def _to_start(era: str) -> str:
    return f"{era} (to start it: aftershock stack up {era})"


def _fault(fault: Fault) -> Iterator[str]:
    yield f"{fault.name:26} on {'the' if fault.target == 'load' else 'a'} {fault.target}: {fault.summary}"
    fields = msgspec.structs.fields(fault.parameters)
    if fields:
        yield f"{'':26} with: " + ", ".join(f"{field.encode_name} ({_default(field.default)})" for field in fields)


def _default(default: object) -> str:
    if default is msgspec.NODEFAULT:
        return "required"
    return "optional" if default is None else str(default)


def _about(text: str) -> str:
    """Return the first line of the file's opening comment."""
    first = text.lstrip().splitlines()[:1]
    return first[0].lstrip("# ") if first and first[0].startswith("#") else ""
