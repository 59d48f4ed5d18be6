"""The YAML that comes with the package: experiments, replays and charts, in a wheel or in a checkout."""

from pathlib import Path

_PACKAGE = Path(__file__).parent.parent


def data() -> Path:
    """Return the folder that holds `experiments/`, `replays/` and `charts/`."""
    shipped = _PACKAGE / "data"
    return shipped if shipped.is_dir() else _PACKAGE.parent.parent


def experiments() -> list[Path]:
    """Return the experiments that come with the package, by name."""
    return sorted((data() / "experiments").glob("*.yaml"))


def eras() -> list[Path]:
    """Return the eras that come with the package."""
    return sorted((data() / "charts" / "era-stack" / "eras").glob("*.yaml"))


def values() -> list[Path]:
    """Return the values files of the reference stacks, one an era."""
    return sorted((data() / "charts" / "era-stack").glob("values-*.yaml"))
