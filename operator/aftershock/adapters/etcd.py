"""etcd, through the gateway that speaks JSON: what it holds. Synchronous, with a deadline a call."""

import base64
import json
from http.client import HTTPConnection, HTTPException

from aftershock.errors import TargetError

DEADLINE = 2.0


def value(host: str, port: int, key: str) -> str | None:
    """Return what the etcd at `host`:`port` holds under a key, None for nothing. TargetError where it doesn't answer."""
    wire = HTTPConnection(host, port, timeout=DEADLINE)
    try:
        asked = {"key": base64.b64encode(key.encode()).decode()}
        wire.request("POST", "/v3/kv/range", json.dumps(asked), {"Content-Type": "application/json"})
        answer = wire.getresponse()
        content = answer.read(1 << 16)
    except (OSError, HTTPException) as error:
        raise TargetError(f"etcd at {host}:{port} does not answer: {error}", "see whether it runs") from None
    finally:
        wire.close()
    if answer.status != 200:
        raise TargetError(f"etcd at {host}:{port} answers with {answer.status}", "see what its log says")
    found = json.loads(content).get("kvs", [])
    return base64.b64decode(found[0].get("value", "")).decode() if found else None
