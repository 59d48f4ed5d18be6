"""`python -m aftershock.stacks.meetings`: the service, its switches in the environment."""

import os
import sys

from aftershock.stacks.meetings import switches


def main() -> None:
    """Serve, or say which variable is wrong."""
    try:
        wanted = switches.read(os.environ)
    except switches.SwitchError as error:
        sys.exit(f"meetings: {error}")
    from aftershock.stacks.meetings import service  # noqa: PLC0415  # a wrong switch is told before half a second of imports

    service.serve(wanted)


if __name__ == "__main__":
    main()
