"""HTTP in, SQL out. What the database refuses is a 503 with a reason, at once; nothing is retried on a client's behalf."""

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any

import psycopg
from aiohttp import web

from aftershock.stacks.meetings import regions, store
from aftershock.stacks.meetings.bucket import Bucket
from aftershock.stacks.meetings.cache import Cache
from aftershock.stacks.meetings.connections import Connection, Connections, Unavailable, reason
from aftershock.stacks.meetings.switches import Switches
from aftershock.stacks.meetings.sync import Sync

LARGEST = 64 * 1024
"""Bytes of a request's body."""
LONGEST = 200
"""Characters of a title, a name or an id."""
SWEEP = 30.0
"""Seconds between two sweeps."""
GRACE = 1.0
"""Seconds that requests under way have, once the service is told to end."""

_log = logging.getLogger("meetings")
_routes = web.RouteTableDef()
WROTE = "wrote"
"""The cookie of a client that has just written, where reads are split."""
REMEMBERED = 10
"""Seconds for which it has: more than a replica is usually behind."""

_connections = web.AppKey("connections", Connections)
_replica = web.AppKey("replica", Connections)
_cache = web.AppKey("cache", Cache)
_sync = web.AppKey("sync", Sync)
_switches = web.AppKey("switches", Switches)
_prepared = web.AppKey("prepared", asyncio.Event)
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def application(switches: Switches) -> web.Application:
    """Return the service. It starts whether or not the database is there; /readyz says when it is."""
    layers = [_refusals]
    if switches.rate_limit:
        layers.insert(0, _limit(Bucket(switches.rate_limit, time.monotonic())))
    app = web.Application(middlewares=layers, client_max_size=LARGEST)
    app[_switches] = switches
    app.add_routes(_routes)
    app.cleanup_ctx.append(_database)
    return app


async def _database(app: web.Application) -> AsyncIterator[None]:
    switches = app[_switches]
    limits = (switches.pool_size, switches.connect_timeout, switches.statement_timeout)
    connections = Connections(switches.dsn, *limits)
    replica = Connections(switches.replica_dsn, *limits) if switches.reads != "primary" else connections
    app[_connections], app[_replica], app[_prepared] = connections, replica, asyncio.Event()
    app[_cache] = Cache(switches.cache_url, switches.cache)
    app[_sync] = Sync(app[_cache], switches.cache_url, switches.caches_elsewhere)
    app[_sync].start()
    for each in {connections, replica}:
        app.on_shutdown.append(lambda _, each=each: each.close(0.8 * GRACE))  # type: ignore[misc]
    keeper = asyncio.create_task(_keep(connections, app[_prepared], switches))
    yield
    keeper.cancel()
    with suppress(asyncio.CancelledError):
        await keeper
    for each in {connections, replica}:
        await each.close()
    await app[_sync].close()
    await app[_cache].close()


async def _keep(connections: Connections, prepared: asyncio.Event, switches: Switches) -> None:
    """Make the tables as soon as the database lets us, then sweep them from time to time."""
    while True:
        try:
            async with connections.borrow() as connection:
                if not prepared.is_set():
                    await store.prepare(connection, indexes=switches.indexes, seed=switches.seed)
                    await _join_regions(connection, switches)
                    prepared.set()
                    _log.info("the tables are there")
                await store.sweep(connection, switches.keep)
        except (Unavailable, psycopg.Error) as error:
            _log.warning("the database is not to be had: %s", error)
        await asyncio.sleep(SWEEP if prepared.is_set() else 0.1)


async def _join_regions(connection: Connection, switches: Switches) -> None:
    if switches.region:
        await regions.prepare(connection, switches.region, switches.region_number, switches.regions)
    if switches.peer_dsn:
        await regions.follow(connection, switches.region, switches.peer_dsn)


@web.middleware
async def _refusals(request: web.Request, handler: _Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except Unavailable as error:
        return _refuse(503, str(error))
    except psycopg.errors.UndefinedTable:
        return _refuse(503, "the tables are not there yet")
    except psycopg.Error as error:
        _log.exception("a query failed")
        return _refuse(500, reason(error))


def _limit(bucket: Bucket) -> Any:  # aiohttp has no name for the type of a middleware
    @web.middleware
    async def limit(request: web.Request, handler: _Handler) -> web.StreamResponse:
        if request.path in ("/healthz", "/readyz") or bucket.take(time.monotonic()):
            return await handler(request)
        return _refuse(429, "too many requests", {"Retry-After": "1"})

    return limit


def _refuse(status: int, why: str, headers: dict[str, str] | None = None) -> web.Response:
    return web.json_response({"error": why}, status=status, headers=headers)


def _borrow(request: web.Request) -> Any:
    return request.app[_connections].borrow()


def _borrow_to_read(request: web.Request) -> Any:
    """Lend a connection to the primary or the replica, as READS and the client have it."""
    app = request.app
    wrote = app[_switches].reads == "split" and WROTE in request.cookies
    return app[_connections if wrote or _wants_what_is_so(request) else _replica].borrow()


def _wants_what_is_so(request: web.Request) -> bool:
    """Tell whether the client takes nothing that may be old (RFC 9111, section 5.2.1.4): from the primary, past the cache."""
    return "no-cache" in request.headers.get("Cache-Control", "")


def _written(request: web.Request, answer: web.Response) -> web.Response:
    """Have a client that has just written come back with a cookie that says so, where that makes a difference."""
    if request.app[_switches].reads == "split":
        answer.set_cookie(WROTE, "1", max_age=REMEMBERED, httponly=True)
    return answer


def _json(text: bytes) -> web.Response:
    return web.Response(body=text, content_type="application/json")


async def _body(request: web.Request) -> dict[str, Any]:
    """Return the JSON object of the request; {} if it has no body. 400 for anything else."""
    text = await request.text()
    try:
        body = json.loads(text) if text else {}
    except ValueError:
        raise web.HTTPBadRequest(text="the body is not JSON") from None
    if not isinstance(body, dict):
        raise web.HTTPBadRequest(text="the body must be a JSON object")
    return body


def _text(body: dict[str, Any], field: str, default: str | None = None, longest: int = LONGEST) -> str:
    value = body.get(field, default)
    if not isinstance(value, str) or not 0 < len(value) <= longest or "\0" in value:
        raise web.HTTPBadRequest(text=f"`{field}` must be a string of 1 to {longest} characters")
    return value


@_routes.get("/healthz")
async def _health(_request: web.Request) -> web.Response:
    return web.json_response({"alive": True})


@_routes.get("/readyz")
async def _ready(request: web.Request) -> web.Response:
    await _alive(request)
    if not await request.app[_cache].alive():
        return _refuse(503, "the cache does not answer")
    return web.json_response({"instance": request.app[_switches].instance})


@_routes.get("/serves")
async def _serves(request: web.Request) -> web.Response:
    """Tell whether requests can be served: the databases answer. A cache that is away costs time alone."""
    await _alive(request)
    return web.json_response({"instance": request.app[_switches].instance})


@_routes.get("/hears")
async def _hears(request: web.Request) -> web.Response:
    """Tell whether what other regions announce is heard of here."""
    unheard = request.app[_sync].unheard
    if unheard is None:
        return _refuse(404, "no other region is followed")
    if unheard:
        return _refuse(503, f"not heard of: {', '.join(unheard)}")
    return web.json_response({"hears": True})


async def _alive(request: web.Request) -> None:
    if not request.app[_prepared].is_set():
        raise Unavailable("the tables are not there yet")
    for each in {request.app[_connections], request.app[_replica]}:
        async with each.borrow() as connection:
            await store.alive(connection)


@_routes.post("/meetings")
async def _create(request: web.Request) -> web.Response:
    title = _text(await _body(request), "title", "a meeting")
    async with _borrow(request) as connection:
        number = await store.create(connection, title)
    return _written(request, web.json_response({"id": number}, status=201))


@_routes.get("/meetings")
async def _list(request: web.Request) -> web.Response:
    async def make() -> bytes:
        async with _borrow_to_read(request) as connection:
            return json.dumps(await store.meetings(connection)).encode()

    if not _wants_what_is_so(request):
        return _json(await request.app[_cache].list_or(make))
    text = await make()
    await request.app[_cache].put_list(text)
    return _json(text)


@_routes.get(r"/meetings/{meeting:\d{1,18}}/join")
@_routes.post(r"/meetings/{meeting:\d{1,18}}/join")
async def _join(request: web.Request) -> web.Response:
    meeting = int(request.match_info["meeting"])
    name = _text(await _body(request), "name", "a guest")
    async with _borrow(request) as connection:
        participant = await store.join(connection, meeting, name)
    if participant is None:
        return _refuse(404, "there is no such meeting")
    return web.json_response({"meeting": meeting, "participant": participant})


@_routes.post(r"/meetings/{meeting:\d{1,18}}/leave")
async def _leave(request: web.Request) -> web.Response:
    meeting = int(request.match_info["meeting"])
    name = _text(await _body(request), "name", "a guest")
    async with _borrow(request) as connection:
        left = await store.leave(connection, meeting, name)
    return web.json_response({"meeting": meeting, "left": left})


@_routes.post("/notes")
async def _note(request: web.Request) -> web.Response:
    body = await _body(request)
    number, text = _text(body, "id"), _text(body, "text", longest=LARGEST)
    async with _borrow(request) as connection:
        await store.note(connection, number, text)
    await request.app[_cache].put_note(number, text.encode())
    return _written(request, web.json_response({"id": number}, status=201))


@_routes.put("/notes/{note}")
async def _replace_note(request: web.Request) -> web.Response:
    number = request.match_info["note"]
    text = _text(await _body(request), "text", longest=LARGEST)
    async with _borrow(request) as connection:
        replaced = await store.replace(connection, number, text)
    request.app[_sync].announce(number)
    await request.app[_cache].put_note(number, text.encode())
    return _written(request, web.json_response({"id": number, "replaced": replaced}))


@_routes.get("/conflicts")
async def _conflicts(request: web.Request) -> web.Response:
    if not request.app[_switches].region:
        return _refuse(404, "there is one region, so nobody conflicts")
    async with _borrow(request) as connection:
        return web.Response(text=await regions.conflicts(connection), content_type="application/json")


@_routes.get("/notes/{note}")
async def _read_note(request: web.Request) -> web.Response:
    number, cache = request.match_info["note"], request.app[_cache]
    text = None if _wants_what_is_so(request) else await cache.note(number)
    if text is None:
        async with _borrow_to_read(request) as connection:
            found = await store.text_of(connection, number)
        if found is None:
            return _refuse(404, "there is no such note")
        text = found.encode()
        await cache.put_note_read(number, text)
    return web.json_response({"id": number, "text": text.decode()})


@_routes.get("/notes")
async def _notes(request: web.Request) -> web.Response:
    async with _borrow_to_read(request) as connection:
        ids = await store.notes(connection, request.query.get("prefix", ""))
    return web.Response(text=ids, content_type="application/json")


def serve(switches: Switches) -> None:
    """Serve until SIGTERM or SIGINT, then give what is under way `GRACE` to finish."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    _log.setLevel(logging.INFO)

    def listening(*_: object) -> None:
        _log.info("listening on %s:%d", switches.host, switches.port)

    web.run_app(
        application(switches), host=switches.host, port=switches.port, access_log=None, print=listening,
        shutdown_timeout=GRACE, backlog=1024,
    )  # fmt: skip
