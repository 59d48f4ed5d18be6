"""A token bucket: the rate limit of the service. Pure: the caller tells the time."""


class Bucket:
    """Lets `rate` requests a second through, and after a quiet time a second's worth at once."""

    def __init__(self, rate: float, now: float) -> None:
        self._rate = rate
        self._full = max(1.0, rate)
        self._tokens = self._full
        self._then = now

    def take(self, now: float) -> bool:
        """Take a token, if there is one. `now`: seconds, on any clock that doesn't jump."""
        self._tokens = min(self._full, self._tokens + (now - self._then) * self._rate)
        self._then = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
