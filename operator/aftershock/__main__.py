"""`python -m aftershock` is the command line."""

from aftershock.cli import main

main()
