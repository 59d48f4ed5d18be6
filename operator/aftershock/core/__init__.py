"""Pure decisions: plan, phases, lease, history, judge, statistics. No I/O, no clock, no threads."""
