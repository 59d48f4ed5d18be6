"""gdnsd's file of forced states, `admin_state`: our lines in it, each with the lease's name behind it as a comment.

What others wrote there stays as it is, and is overruled for as long as ours stand: a later line wins. gdnsd takes no notice of
a file in which a key stands twice, so ours are patterns, with as many stars as it takes to be no other line's key.
"""

from collections.abc import Collection, Mapping
from pathlib import Path

from aftershock.adapters import durable
from aftershock.core.lease import Lease, parse
from aftershock.errors import TargetError


def leases(text: str) -> list[Lease]:
    """Return the leases under which lines stand in a file's text, each once."""
    return list(dict.fromkeys(lease for line in text.splitlines() if (lease := _lease_of(line)) is not None))


def held(text: str, up: Mapping[str, bool], lease: Lease) -> str:
    """Return the text with these addresses forced up or down under a lease, and nothing else under it.

    >>> print(held("", {"127.0.1.1": True}, Lease("dns-stale", "k3f9a2x1", 1790000000)), end="")
    127.0.1.1/* => UP # aftershock.dns-stale.k3f9a2x1.1790000000
    """
    others = released(text, {lease.name})
    if others and not others.endswith("\n"):
        others += "\n"
    states = {True: "UP", False: "DOWN"}
    return others + "".join(
        f"{_key(address, others)} => {states[each]} # {lease.name}\n" for address, each in up.items()
    )


def released(text: str, names: Collection[str]) -> str:
    """Return the text without the lines of the leases of these names."""
    lines = text.splitlines(keepends=True)
    return "".join(line for line in lines if (lease := _lease_of(line)) is None or lease.name not in names)


def _lease_of(line: str) -> Lease | None:
    return parse(line.rpartition("#")[2].strip())


def _key(address: str, text: str) -> str:
    """Return a pattern for all that is looked at at an address, and that is nowhere in the text."""
    key = f"{address}/*"
    while key in text:
        key += "*"
    return key


def read(path: Path) -> str:
    """Return what stands in the file; nothing if there is none. TargetError if that can't be known."""
    try:
        return path.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError as error:
        if isinstance(error, FileNotFoundError) and path.parent.is_dir():
            return ""
        raise TargetError(f"can't read {path}: {error.strerror}", _ADVICE) from None


def hold(path: Path, up: Mapping[str, bool], lease: Lease) -> None:
    """Force these addresses up or down. Twice is once. TargetError if it can't be written: then nothing has changed."""
    _put(path, held(before := read(path), up, lease), before)


def release(path: Path, names: Collection[str]) -> bool:
    """Take away the lines of these leases; return whether there were any."""
    before = read(path)
    return _put(path, released(before, names), before)


def _put(path: Path, text: str, before: str) -> bool:
    """Put a text in the place of the one before. To gdnsd no file is an empty file, so where nothing is left none is."""
    if text == before:
        return False
    try:
        place = path.resolve()
        if text:
            durable.write(place, text.encode(errors="surrogateescape"), like=place if place.exists() else place.parent)
        else:
            place.unlink(missing_ok=True)
            durable.sync(place.parent)
    except OSError as error:
        raise TargetError(f"can't write {path}: {error.strerror}", _ADVICE) from None
    return True


_ADVICE = "compare `resolver.gdnsd.adminState` of the Stack with gdnsd's `state_dir`, and see permissions"
