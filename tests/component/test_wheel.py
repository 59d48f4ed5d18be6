"""The wheel carries what a user needs: installed elsewhere, it lists its experiments and eras."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
    build = [*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", folder, ROOT]
    subprocess.run(build, check=True, cwd=folder)
    (wheel,) = folder.glob("*.whl")
    subprocess.run(
        [*pip, "install", "--no-deps", "--no-compile", "--target", folder / "site", wheel], check=True, cwd=folder
    )
    return folder / "site"


def aftershock(site: Path, *words: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(site)}
    command = [sys.executable, site / "bin" / "aftershock", *words]
    return subprocess.run(command, check=True, capture_output=True, text=True, cwd=site.parent, env=environment).stdout


def test_the_catalog_comes_from_the_wheel(installed: Path) -> None:
    where = "import aftershock; print(aftershock.__file__)"
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    found = subprocess.run(
        [sys.executable, "-c", where], capture_output=True, text=True, env=environment, cwd=installed, check=True
    )
    assert found.stdout.startswith(str(installed))
    listed = aftershock(installed, "catalog")
    for name in ("db-connection-exhaustion", "covid", "1k"):
        assert name in listed


def test_the_shipped_experiments_are_valid(installed: Path) -> None:
    assert "all good" in aftershock(installed, "validate", str(installed / "aftershock" / "data" / "experiments"))
