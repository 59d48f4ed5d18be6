"""Where lease records lie: `leases/<lease>.json` in the stack's folder. Their names alone tell what is due."""

from pathlib import Path

FOLDER = "leases"


def paths(folder: Path) -> list[Path]:
    """Return the files of all records, readable or not."""
    return sorted((folder / FOLDER).glob("*.json"))


def path_of(folder: Path, lease: str) -> Path:
    """Return where the record of a lease lies."""
    return folder / FOLDER / f"{lease}.json"
