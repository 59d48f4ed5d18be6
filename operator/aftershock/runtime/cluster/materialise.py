"""A Stack of the API as a folder on disk: `stack.yaml`, and every Secret key that it names, readable by nobody else.

Executor and reaper work from such a folder, so that neither needs the API to find and heal what is at a target.
"""

import base64
import binascii
from pathlib import Path

from aftershock.adapters import durable, secrets
from aftershock.adapters.kubernetes import SECRETS, STACKS, Api
from aftershock.errors import InputError
from aftershock.model.load import Document
from aftershock.model.metadata import SecretRef
from aftershock.model.stack import Stack
from aftershock.model.write import dump_yaml
from aftershock.runtime.cluster import objects


def stack(api: Api, namespace: str, name: str, folder: Path) -> Stack:
    """Write the Stack and the Secrets that it names to the folder, and return it.

    MissingError where there is no such Stack or Secret, Invalid where the Stack is not sound, InputError where a Secret
    lacks the key. What stood in the folder before stays where it can't be replaced.
    """
    document = objects.stack(api.get(STACKS, name, namespace))
    place(api, namespace, document, folder)
    return document.object


def place(api: Api, namespace: str, document: Document[Stack], folder: Path) -> None:
    """Do the same with a Stack that was read."""
    for secret, key in objects.secrets_of(document.object):
        path = secrets.kept(folder, SecretRef(name=secret, key=key))
        _write(path, _value(api, namespace, secret, key))
    _write(folder / "stack.yaml", dump_yaml(document.tree).encode())


def _value(api: Api, namespace: str, secret: str, key: str) -> bytes:
    data = api.get(SECRETS, secret, namespace).get("data") or {}
    try:
        return base64.b64decode(data[key], validate=True)
    except KeyError:
        raise InputError(
            f"the Secret {namespace}/{secret} has no key {key}", f"it has: {', '.join(sorted(data)) or 'none'}"
        ) from None
    except (binascii.Error, TypeError, ValueError):
        raise InputError(f"the key {key} of the Secret {namespace}/{secret} is not base64", "write it anew") from None


def _write(path: Path, content: bytes) -> None:
    """Write what is not there yet."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not path.is_file() or path.read_bytes() != content:
        durable.write(path, content)
