"""A webhook: one POST, with a deadline, and whether it is worth trying again. The URL may hold a secret and is never told."""

from collections.abc import Mapping
from typing import Any

import requests

from aftershock.errors import TargetError

TIMEOUT = 10.0


class BusyError(TargetError):
    """It can't be reached, or can't take it now (408, 425, 429, 5xx); `after`: in how many seconds to ask again, if told."""

    after: float | None = None


class UnwantedError(TargetError):
    """It refuses what it was sent: sending it again changes nothing."""


AGAIN = {408, 425, 429}


def post(url: str, body: Mapping[str, Any], kind: str, timeout: float = TIMEOUT) -> None:
    """Send a JSON body of the content type `kind`. BusyError or UnwantedError unless it was taken. Follows no redirect."""
    try:
        answer = requests.post(url, json=body, headers={"Content-Type": kind}, timeout=timeout, allow_redirects=False)
    except (requests.ConnectionError, requests.Timeout) as error:
        raise BusyError(
            f"the webhook can't be reached: {type(error).__name__}", "see its address in the Secret"
        ) from None
    except requests.RequestException as error:
        raise UnwantedError(f"the webhook's URL won't do: {type(error).__name__}", "mend it in the Secret") from None
    with answer:
        if answer.status_code < 300:
            return
        if answer.status_code in AGAIN or answer.status_code >= 500:
            busy = BusyError(f"the webhook answered {answer.status_code}", "see who runs it")
            busy.after = _seconds(answer.headers.get("Retry-After"))
            raise busy
        raise UnwantedError(
            f"the webhook answered {answer.status_code}", "see --notify-format, and the URL in the Secret"
        )


def _seconds(text: str | None) -> float | None:
    return float(text) if text is not None and text.isdecimal() else None
