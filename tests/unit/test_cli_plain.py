"""What a run says in lines, where a person has to act on it."""

from aftershock.cli.plain import Plain
from aftershock.core.history import Cleaned


def test_what_is_left_and_what_could_not_be_asked_are_told_apart() -> None:
    line = Plain().line(Cleaned(at=1.0, left=["the toxic t of main"], unasked=["database primary: no answer"]))
    assert line == "left: the toxic t of main; could not be asked: database primary: no answer"
    assert Plain().line(Cleaned(at=1.0)) == "clean: nothing is left"
