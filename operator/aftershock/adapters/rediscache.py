"""Redis, through redis-py: whether one answers, past every link. A call's deadline is its caller's."""

from typing import TYPE_CHECKING

from aftershock.adapters.lazily import lazily
from aftershock.errors import TargetError

if TYPE_CHECKING:
    import redis.asyncio as redis
else:
    redis = lazily("redis.asyncio")


async def answers(name: str, url: str) -> bool:
    """Ask `PING`; tell whether that was answered as it should be: False where we are refused. TargetError if nobody answers."""
    try:
        client = redis.Redis.from_url(url)
    except ValueError:
        raise TargetError(
            f"the url of the cache {name} can't be read", "write it like `redis://:password@host:port/0`"
        ) from None
    try:
        return bool(await client.ping())
    except (redis.AuthenticationError, redis.ResponseError):
        return False
    except (redis.RedisError, OSError) as error:
        why = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise TargetError(f"the cache {name} can't be reached: {why}", "see whether it runs") from None
    finally:
        await client.aclose()
