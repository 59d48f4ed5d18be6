"""The table of phases: every exit leads through Cleanup, and no move is legal that isn't in it."""

import pytest

from aftershock.core.phases import MOVES, Event, IllegalMove, Phase, advance


def test_the_undisturbed_run() -> None:
    phase = Phase.PENDING
    for move in (Event.STARTED, Event.STEADY, Event.HEALED, Event.RECOVERED, Event.CLEAN, Event.JUDGED):
        phase = advance(phase, move)
    assert phase is Phase.FINISHED


def test_every_move_that_is_not_in_the_table_is_illegal() -> None:
    for phase in Phase:
        for move in Event:
            if (phase, move) not in MOVES:
                with pytest.raises(IllegalMove):
                    advance(phase, move)


def test_judging_is_only_reached_through_cleanup() -> None:
    assert {before for (before, _), after in MOVES.items() if after is Phase.JUDGING} == {Phase.CLEANUP}
    for phase in (Phase.PENDING, Phase.BASELINE, Phase.ACTIVE, Phase.RECOVERY):
        assert advance(phase, Event.ABORT) is Phase.CLEANUP
