"""The images that the cluster's pods run, without Docker: a base by debootstrap, the repository's Dockerfiles by buildah.

All of it lies in the cache, each archive called by the hash of what it was made from: an unchanged checkout builds nothing.
"""

import hashlib
import json
import re
import shutil
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

from aftershock.adapters import home
from aftershock.stacks import toxiproxy
from cluster import programs

ROOT = Path(__file__).parent.parent.parent
BASE = "docker.io/library/debian:bookworm-slim"
SUITE = "bookworm"
RELEASE = "4"
"""Of the base: another one makes a new one."""
INCLUDED = "ca-certificates,python3,python3-venv,haproxy,redis-server,gdnsd,etcd-server"
"""What the Dockerfiles install: it is there already, so that they need no more than a look."""

OPERATOR = "localhost/aftershock:test"
STACK = "localhost/aftershock-stack:test"
PAUSE = "localhost/aftershock-pause:test"

SOURCES = (
    "Dockerfile", ".dockerignore", "pyproject.toml", "constraints.txt", "README.md", "LICENSE", "CHANGELOG.md",
    "operator", "experiments", "replays", "charts",
)  # fmt: skip
KEPT = 2
"""Archives in the cache; the oldest go first."""
PATIENCE = 1800.0


def archive() -> Path:
    """Return an archive with all images; made if it is not there. Nobody else may do so at the same time."""
    place = home.cache() / "images"
    made = place / f"{_key()}.tar"
    if not made.exists():
        place.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="new.", dir=place) as scratch:
            _build(place / f"store-{SUITE}-{RELEASE}", Path(scratch))
            _pack(Path(scratch), made)
    made.touch()
    for old in sorted(place.glob("*.tar"), key=lambda each: each.stat().st_mtime)[:-KEPT]:
        old.unlink()
    return made


def _key() -> str:
    """Return the hash of everything that goes into the images."""
    digest = hashlib.sha256(f"{SUITE} {RELEASE} {INCLUDED} {toxiproxy.VERSION}".encode())
    for file in sorted([*_files(), Path(__file__)]):
        digest.update(f"{file.relative_to(ROOT)} {file.stat().st_mode & 0o111} {file.stat().st_size}\n".encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()[:20]


def _files() -> Iterator[Path]:
    for name in SOURCES:
        source = ROOT / name
        found = [source] if source.is_file() else source.rglob("*")
        yield from (each for each in found if each.is_file() and "__pycache__" not in each.parts)


def _build(store: Path, scratch: Path) -> None:
    if not (store / "whole").exists():
        shutil.rmtree(store, ignore_errors=True)
        _base(store, scratch)
        (store / "whole").touch()
    (scratch / "pip.conf").write_text(_pip())
    (scratch / "programs").mkdir()
    shutil.copy(toxiproxy.program(), scratch / "programs" / "toxiproxy")
    reach = ["--volume", "/etc/ssl/certs:/etc/ssl/certs:ro", "--volume", f"{scratch / 'pip.conf'}:/etc/pip.conf:ro"]
    shared = ["--layers", "--pull-never", *reach]
    _buildah(store, scratch, "bud", *shared, "-t", OPERATOR, ROOT)
    _buildah(
        store, scratch, "bud", *shared, "-t", STACK, "-f", ROOT / "charts" / "era-stack" / "Dockerfile",
        "--build-arg", f"AFTERSHOCK={OPERATOR}", "--build-context", f"toxiproxy={scratch / 'programs'}", ROOT,
    )  # fmt: skip
    for image in (OPERATOR, STACK, PAUSE):
        _buildah(store, scratch, "push", "-q", "-D", image, f"oci:{scratch / 'layout'}:{image}")


_BASES = {
    BASE: 'FROM scratch\nADD rootfs.tar /\nCMD ["bash"]\n',
    PAUSE: f'FROM {BASE}\nCMD ["sleep", "infinity"]\n',
}


def _base(store: Path, scratch: Path) -> None:
    rootfs = scratch / "rootfs"
    programs.run([*_APART, "debootstrap", "--variant=minbase", f"--include={INCLUDED}", SUITE, rootfs], PATIENCE)
    for waste in ("var/cache/apt", "var/lib/apt/lists", "usr/share/doc", "usr/share/man", "usr/share/locale"):
        shutil.rmtree(rootfs / waste, ignore_errors=True)
    programs.run(["tar", "-C", rootfs, "--numeric-owner", "--exclude=./dev/*", "-cf", scratch / "rootfs.tar", "."])
    shutil.rmtree(rootfs)
    for image, lines in _BASES.items():
        (scratch / "Dockerfile").write_text(lines)
        _buildah(store, scratch, "bud", "--layers", "--pull-never", "-t", image, scratch)
    (scratch / "rootfs.tar").unlink()


_APART = [
    "setpriv",
    "--pdeathsig",
    "KILL",
    "--",
    "unshare",
    "--mount",
    "--pid",
    "--fork",
    "--kill-child=KILL",
    "--mount-proc",
]
"""What it mounts and starts ends with it, however it ends."""


def _buildah(store: Path, scratch: Path, *arguments: str | Path) -> None:
    places = ["--root", store, "--runroot", scratch / "run", "--storage-driver", "overlay"]
    programs.run([*_APART, "buildah", *places, *arguments], PATIENCE, BUILDAH_ISOLATION="chroot", TMPDIR=str(scratch))


def _pip() -> str:
    """Return how pip reaches its index from here: an image's build has to take the same way."""
    said = programs.run([sys.executable, "-m", "pip", "config", "list"])
    found = dict(re.findall(r"^\S*?\.((?:extra-)?index-url|cert|trusted-host|proxy)='(.*)'$", said, re.MULTILINE))
    return "[global]\n" + "".join(f"{name} = {value}\n" for name, value in found.items())


def _pack(scratch: Path, made: Path) -> None:
    """Put the images into one archive, with the names that containerd is to know them by."""
    index = scratch / "layout" / "index.json"
    tree = json.loads(index.read_text())
    for manifest in tree["manifests"]:
        manifest["annotations"]["io.containerd.image.name"] = manifest["annotations"][
            "org.opencontainers.image.ref.name"
        ]
    index.write_text(json.dumps(tree))
    with tarfile.open(scratch / "whole.tar", "w") as whole:
        whole.add(scratch / "layout", ".")
    (scratch / "whole.tar").rename(made)
