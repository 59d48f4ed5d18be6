"""Secrets are named in documents and read here, at the last moment; every value read is remembered for redaction."""

import os
import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

from aftershock.errors import InputError
from aftershock.model.metadata import Secret, SecretRef

_KEYWORD_PASSWORD = re.compile(r"password\s*=\s*'?([^'\s]+)")
_seen: set[str] = set()


def read(secret: Secret, folder: Path) -> str:
    """Return the secret's value. A relative `file` starts at `folder`. InputError where it can't be read."""
    if secret.env is not None:
        value = os.environ.get(secret.env)
        if value is None:
            raise InputError(
                f"the environment variable {secret.env} is not set", f"export {secret.env}=… and try again"
            )
    elif secret.file is not None:
        value = _read_file(folder / secret.file)
    else:
        value = _read_reference(secret.secret_ref, folder)
    if not value:
        raise InputError(f"the secret {_called(secret)} is empty", "write the value into it")
    _seen.update(_sensitive(value))
    return value


def remember(value: str) -> None:
    """Take in a secret that was read elsewhere, so that it is redacted like the others."""
    _seen.update(_sensitive(value))


def kept(folder: Path, reference: SecretRef) -> Path:
    """Return where a key of a Kubernetes Secret is kept beside a stack's file, so that it can be read without the API."""
    return folder / "secrets" / reference.name / reference.key


def _read_reference(reference: SecretRef | None, folder: Path) -> str:
    if reference is not None and kept(folder, reference).is_file():
        return _read_file(kept(folder, reference))
    raise InputError("a secretRef can only be read inside a cluster", "use `env:` or `file:` for a local run")


def _sensitive(value: str) -> set[str]:
    """Return the value, and the password within it where it is a DSN: an error message may name that alone."""
    found = {value, *_KEYWORD_PASSWORD.findall(value)}
    if "://" in value and (password := _password(value)):
        found |= {password, unquote(password)}
    return {text for text in found if text}


def _password(url: str) -> str | None:
    try:
        return urlsplit(url).password
    except ValueError:  # a bracket without its other half: who connects with it says that it can't be read
        return url.partition("://")[2].rpartition("@")[0].partition(":")[2]


def _called(secret: Secret) -> str:
    """Name a secret by where it comes from."""
    if secret.secret_ref is not None:
        return f"{secret.secret_ref.name}, key {secret.secret_ref.key},"
    return secret.env or secret.file or ""


def _read_file(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise InputError(
            f"can't read the secret {path}: {error.strerror}", "check the path and its permissions"
        ) from None
    except UnicodeDecodeError:
        raise InputError(f"the secret {path} is no text", "write it anew, in UTF-8") from None


def seen() -> frozenset[str]:
    """Return every secret value that this process has read."""
    return frozenset(_seen)
