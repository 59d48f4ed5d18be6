"""Tables of a database, as faults name them: `name` or `schema.name`, as the application's role sees them."""

from aftershock.adapters import postgres
from aftershock.adapters.postgres import Session
from aftershock.errors import InputError


def quoted(table: str) -> str:
    """Return a table's name as SQL writes it.

    >>> quoted('public.odd"one')
    '"public"."odd""one"'
    """
    return ".".join('"' + part.replace('"', '""') + '"' for part in table.split("."))


async def known(opened: Session, database: str, table: str, rows: int | None) -> None:
    """Refuse a table that isn't there, or has fewer rows than are wanted: InputError."""
    ((there,),) = await postgres.query(opened, "SELECT to_regclass(%s) IS NOT NULL", quoted(table))
    if not there:
        raise InputError(
            f"the database {database} has no table {table} that its application's role sees",
            "correct `table`, as `name` or `schema.name`",
        )
    if rows is not None:
        found = await postgres.count(opened, table.split("."), rows)
        if found < rows:
            raise InputError(
                f"the table {table} has {found} rows, and {rows} are to be locked", "lock fewer, or fill it first"
            )
