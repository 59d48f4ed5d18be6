"""Several regions, each with a database that takes writes and takes over what another one wrote (PostgreSQL's logical
replication, both ways; `origin = none`, so that nothing goes round in circles).

PostgreSQL 18 detects conflicts and counts them, and resolves none. Here triggers do: the last writer wins, by the time of the
write and, where that is the same, by the region's name. Each row of `notes` says when and where it was written, and on which
version its writer based it. A write that comes from elsewhere and is not based on what is here is a conflict: the loser goes
into `conflict_log`, once. Both regions come to the same rows and to the same log, whatever order the writes arrive in. A write
that its own author replaced meanwhile is no loser.

Meetings and participants have numbers of their own region's, so they can't conflict.
"""

import psycopg

from aftershock.stacks.meetings.connections import Connection, Unavailable

PUBLISHED = ("meetings_notes", "meetings_rest")
_SUBSCRIPTION = "from_elsewhere"

# Local writes fire `notes_here`; what the apply worker writes fires the other two alone (REPLICA triggers).
_SCHEMA = """
BEGIN;
SELECT pg_advisory_xact_lock(7245013);
ALTER TABLE notes ADD COLUMN IF NOT EXISTS region text NOT NULL DEFAULT '';
ALTER TABLE notes ADD COLUMN IF NOT EXISTS based_on text;
CREATE TABLE IF NOT EXISTS conflict_log (
    key text NOT NULL,
    loser text NOT NULL,
    winner text NOT NULL,
    lost text NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (key, loser)
);
CREATE OR REPLACE FUNCTION this_region() RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT '{region}'::text $$;
CREATE OR REPLACE FUNCTION version(written timestamptz, region text) RETURNS text LANGUAGE sql STABLE
    AS $$ SELECT (extract(epoch FROM written) * 1000000)::bigint::text || '@' || region $$;

CREATE OR REPLACE FUNCTION notes_here() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.region := this_region();
    NEW.text := NEW.text || '';  -- of its own: a long text that is unchanged is not sent along with an UPDATE
    IF TG_OP = 'INSERT' THEN
        NEW.written := clock_timestamp();
        NEW.based_on := NULL;
    ELSE  -- never before what it replaces, whatever the clocks say
        NEW.written := greatest(clock_timestamp(), OLD.written + interval '1 microsecond');
        NEW.based_on := version(OLD.written, OLD.region);
    END IF;
    RETURN NEW;
END $$;

-- Made an upsert, which finds a row that a client inserts at the same moment, too.
CREATE OR REPLACE FUNCTION notes_came() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF pg_trigger_depth() > 1 THEN
        RETURN NEW;  -- the upsert below comes by here
    END IF;
    INSERT INTO public.notes (id, text, written, region, based_on)
        VALUES (NEW.id, NEW.text, NEW.written, NEW.region, NEW.based_on)
        ON CONFLICT (id) DO UPDATE
        SET text = excluded.text, written = excluded.written, region = excluded.region, based_on = excluded.based_on;
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION notes_met() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    here text := public.version(OLD.written, OLD.region);
    came text := public.version(NEW.written, NEW.region);
    later boolean := (NEW.written, NEW.region) > (OLD.written, OLD.region);
BEGIN
    IF came = here THEN
        RETURN NULL;
    END IF;
    DELETE FROM public.conflict_log WHERE key = NEW.id AND loser = NEW.based_on;  -- its own author has replaced it
    IF NEW.based_on IS DISTINCT FROM here THEN
        INSERT INTO public.conflict_log (key, loser, winner, lost) VALUES (
            NEW.id,
            CASE WHEN later THEN here ELSE came END,
            CASE WHEN later THEN came ELSE here END,
            CASE WHEN later THEN OLD.text ELSE NEW.text END
        ) ON CONFLICT DO NOTHING;
    END IF;
    IF later THEN
        RETURN NEW;
    END IF;
    RETURN NULL;
END $$;

CREATE OR REPLACE TRIGGER notes_here BEFORE INSERT OR UPDATE ON notes FOR EACH ROW EXECUTE FUNCTION notes_here();
CREATE OR REPLACE TRIGGER notes_came BEFORE INSERT ON notes FOR EACH ROW EXECUTE FUNCTION notes_came();
CREATE OR REPLACE TRIGGER notes_met BEFORE UPDATE ON notes FOR EACH ROW EXECUTE FUNCTION notes_met();
ALTER TABLE notes ENABLE REPLICA TRIGGER notes_came;
ALTER TABLE notes ENABLE REPLICA TRIGGER notes_met;

DO $$
DECLARE
    last bigint;
    each text;
BEGIN
    IF EXISTS (SELECT FROM pg_publication WHERE pubname = '{rest}') THEN
        RETURN;
    END IF;
    FOREACH each IN ARRAY ARRAY['meetings', 'participants'] LOOP
        EXECUTE format('SELECT coalesce(max(id), 1) FROM %I', each) INTO last;
        EXECUTE format('ALTER TABLE %I ALTER id SET INCREMENT BY {regions} RESTART WITH %s', each,
            (last / {regions} + 1) * {regions} + {number});
    END LOOP;
    -- What is old goes everywhere by itself, at its own time; a note never goes otherwise.
    CREATE PUBLICATION {notes} FOR TABLE notes WITH (publish = 'insert, update');
    CREATE PUBLICATION {rest} FOR TABLE meetings, participants WITH (publish = 'insert, update, delete');
END $$;
COMMIT;
"""


async def prepare(connection: Connection, region: str, number: int, regions: int) -> None:
    """Make the tables those of a region: the `number`th (from 0) of `regions`. `region` is of a-z, 0-9 and `-`.

    Done twice it is done once. psycopg.Error where the role owns neither tables nor database.
    """
    notes, rest = PUBLISHED
    text = _SCHEMA.format(region=region, number=number, regions=regions, notes=notes, rest=rest)
    await connection.execute(text.encode())


async def follow(connection: Connection, region: str, peer: str) -> None:
    """Take over from now on what is written at the database of another region, which `peer` says how to log in to.

    Unavailable where that is not ready for it; nothing happens where it is followed already.
    """
    cursor = await connection.execute("SELECT 1 FROM pg_subscription WHERE subname = %s", (_SUBSCRIPTION,))
    if await cursor.fetchone() is not None:
        return
    slot = f"to_{region.replace('-', '_')}"
    try:
        async with await psycopg.AsyncConnection.connect(peer, autocommit=True, connect_timeout=2) as there:
            await _keep_for_us(there, slot)
    except psycopg.Error as error:
        raise Unavailable(f"the other region's database is not to be had: {error}") from None
    quoted = peer.replace("'", "''")
    await connection.execute(
        f"CREATE SUBSCRIPTION {_SUBSCRIPTION} CONNECTION '{quoted}' PUBLICATION {', '.join(PUBLISHED)}"
        # What is taken over counts as had when a standby has it too, where writes wait for one: that is not so by itself.
        f" WITH (origin = none, copy_data = false, create_slot = false, slot_name = {slot}, failover = true,"
        " synchronous_commit = on)".encode()
    )


async def _keep_for_us(there: Connection, slot: str) -> None:
    """Have the other database keep what it publishes from now on, and whoever takes over from it.

    Not as a part of CREATE SUBSCRIPTION: a slot waits for all transactions that run, and two regions that subscribe to each
    other at the same time would wait for each other's.
    """
    cursor = await there.execute("SELECT count(*) FROM pg_publication WHERE pubname = ANY(%s)", (list(PUBLISHED),))
    if await cursor.fetchone() != (len(PUBLISHED),):  # what is published later than it is kept for us would never come
        raise Unavailable("the other region's database publishes nothing yet")
    cursor = await there.execute("SELECT 1 FROM pg_replication_slots WHERE slot_name = %s", (slot,))
    if await cursor.fetchone() is None:
        await there.execute("SELECT pg_create_logical_replication_slot(%s, 'pgoutput', failover => true)", (slot,))


async def conflicts(connection: Connection) -> str:
    """Return the writes that lost against another region's, as a JSON list of {key, loser, winner, lost}."""
    cursor = await connection.execute(
        "SELECT coalesce(json_agg(json_build_object('key', key, 'loser', loser, 'winner', winner, 'lost', lost)"
        " ORDER BY key, loser)::text, '[]') FROM conflict_log"
    )
    row = await cursor.fetchone()
    return str(row[0]) if row else "[]"
