"""etcd, through the gateway that speaks JSON: whether it holds a key. Synchronous, with a deadline a call."""

import base64
import json
from http.client import HTTPConnection, HTTPException

import msgspec

from aftershock.errors import TargetError

DEADLINE = 2.0


class _Range(msgspec.Struct, frozen=True):
    count: int = 0  # which it writes as a text, and leaves out where it is none


def holds(host: str, port: int, key: str) -> bool:
    """Tell whether the etcd at `host`:`port` holds a key. TargetError where it doesn't answer."""
    wire = HTTPConnection(host, port, timeout=DEADLINE)
    try:
        asked = {"key": base64.b64encode(key.encode()).decode(), "count_only": True}
        wire.request("POST", "/v3/kv/range", json.dumps(asked), {"Content-Type": "application/json"})
        answer = wire.getresponse()
        content = answer.read(1 << 16)
    except (OSError, HTTPException) as error:
        raise TargetError(f"etcd at {host}:{port} does not answer: {error}", "see whether it runs") from None
    finally:
        wire.close()
    if answer.status != 200:
        raise TargetError(f"etcd at {host}:{port} answers with {answer.status}", "see what its log says")
    try:
        return msgspec.json.decode(content, type=_Range, strict=False).count > 0
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise TargetError(f"what answers at {host}:{port} is no etcd: {error}", "correct the address") from None
