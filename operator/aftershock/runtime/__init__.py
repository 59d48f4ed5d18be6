"""Executor, reaper, launchers, clocks: the only place where core meets adapters."""
