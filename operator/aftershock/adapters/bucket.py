"""S3-compatible object storage, through obstore, and the only importer of it. Every call has a deadline; nothing is retried.

Who may write, where the store is and in which region come from the environment, by the names that AWS' own tools read
(AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION, AWS_ENDPOINT_URL).
"""

import os
from datetime import timedelta
from urllib.parse import urlsplit

import msgspec

from aftershock.errors import InputError, JournalError

SCHEME = "s3://"
TIMEOUT = 10.0
"""Seconds that one call may take."""


class Place(msgspec.Struct, frozen=True):
    """A bucket, and what all names in it start with."""

    bucket: str
    prefix: str

    @classmethod
    def parse(cls, url: str) -> "Place":
        """Read `s3://bucket/prefix`; InputError for anything else."""
        parts = urlsplit(url)
        if not url.startswith(SCHEME) or not parts.netloc or parts.query or parts.fragment:
            raise InputError(f"{url!r} names no bucket", "write it like s3://bucket/prefix")
        return cls(parts.netloc, parts.path.strip("/"))

    def url(self, name: str) -> str:
        """Return the URL of an object here."""
        return f"{SCHEME}{self.bucket}/{self.key(name)}"

    def key(self, name: str) -> str:
        """Return the whole name of an object here."""
        return f"{self.prefix}/{name}" if self.prefix else name


def put(place: Place, name: str, content: bytes, timeout: float = TIMEOUT) -> None:
    """Write an object, in place of what bore its name. JournalError where it can't be written."""
    import obstore  # noqa: PLC0415 - whoever keeps journals elsewhere pays nothing for it
    from obstore.exceptions import BaseError  # noqa: PLC0415

    try:
        obstore.put(_store(place, timeout), place.key(name), content, use_multipart=False)
    except (BaseError, OSError, ValueError) as error:
        raise _failed("write", place.url(name), error) from None


def get(url: str, timeout: float = TIMEOUT) -> bytes:
    """Return an object's content. JournalError where it can't be read."""
    import obstore  # noqa: PLC0415
    from obstore.exceptions import BaseError  # noqa: PLC0415

    place = Place.parse(url)
    try:
        return bytes(obstore.get(_store(place, timeout), place.prefix).bytes())
    except (BaseError, OSError, ValueError) as error:
        raise _failed("read", url, error) from None


def there(place: Place, under: str, timeout: float = TIMEOUT) -> dict[str, float]:
    """Return the names of the objects under a folder of the place, each with when it was last written.

    In seconds since the epoch. JournalError where they can't be listed.
    """
    import obstore  # noqa: PLC0415
    from obstore.exceptions import BaseError  # noqa: PLC0415

    before = len(place.key(""))
    try:
        pages = obstore.list(_store(place, timeout), prefix=place.key(under))
        return {one["path"][before:]: one["last_modified"].timestamp() for page in pages for one in page}
    except (BaseError, OSError, ValueError) as error:
        raise _failed("list", place.url(under), error) from None


def remove(place: Place, name: str, timeout: float = TIMEOUT) -> None:
    """Delete an object; one that is not there is no error. JournalError where it can't be deleted."""
    import obstore  # noqa: PLC0415
    from obstore.exceptions import BaseError  # noqa: PLC0415

    try:
        obstore.delete(_store(place, timeout), place.key(name))
    except FileNotFoundError:
        return
    except (BaseError, OSError, ValueError) as error:
        raise _failed("delete", place.url(name), error) from None


def _store(place: Place, timeout: float):  # type: ignore[no-untyped-def]
    from obstore.store import S3Store  # noqa: PLC0415

    plain = os.environ.get("AWS_ENDPOINT_URL", "").startswith("http://")
    return S3Store(
        place.bucket,
        client_options={
            "timeout": timedelta(seconds=timeout),
            "connect_timeout": timedelta(seconds=timeout),
            "allow_http": plain,
        },
        retry_config={"max_retries": 0, "retry_timeout": timedelta(seconds=timeout)},
    )


def _failed(what: str, url: str, error: Exception) -> JournalError:
    reason = " ".join(str(error).split("\n\n")[0].split())[:300]
    return JournalError(
        f"can't {what} {url}: {reason}",
        "check the bucket, AWS_ENDPOINT_URL, AWS_REGION, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    )
