"""`python -m aftershock.cli.kubectl`: the plugin where its console script isn't installed."""

from aftershock.cli.kubectl import main

main()
