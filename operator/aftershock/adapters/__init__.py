"""Outside systems, one file each. Every call has a deadline; every failure becomes a TargetError that says what to do."""
