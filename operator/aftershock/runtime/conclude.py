"""What stands in a run's record once it is judged."""

from collections.abc import Sequence

from aftershock.core.rto import UNDETECTED
from aftershock.core.verdict import Interval, Judgement, Verdict
from aftershock.model.run import RunCondition, RunStatus


def status(judgements: Sequence[Judgement], started: str | None, finished: str) -> RunStatus:
    """Return the finished status; conditions and reason are those of the era with the worst verdict."""
    if not judgements:
        return RunStatus(phase="Finished", started=started, finished=finished)
    first = min(judgements, key=lambda judgement: WORST_FIRST.index(judgement.verdict))
    return RunStatus(
        phase="Finished",
        conditions=[
            RunCondition(type=c.type, status=c.status, reason=c.reason, message=c.message) for c in first.conditions
        ],
        verdict=first.verdict.value,
        era=first.era,
        verdicts={judgement.era: judgement.verdict.value for judgement in judgements},
        because=first.because,
        rto=_rto(first),
        started=started,
        finished=finished,
    )


WORST_FIRST = [Verdict.ERROR, Verdict.FAILED, Verdict.ABORTED, Verdict.INCONCLUSIVE, Verdict.PASSED]


def overall(judgements: Sequence[Judgement]) -> Verdict:
    """Return the worst verdict of all eras that judge: the one that the exit code speaks of."""
    return min((judgement.verdict for judgement in judgements), key=WORST_FIRST.index, default=Verdict.INCONCLUSIVE)


def _rto(judgement: Judgement) -> str | None:
    if any(UNDETECTED in claim.missing for claim in judgement.claims):
        return "unknown"
    intervals: list[Interval] = [bracket.rto for bracket in judgement.recovery if bracket.rto is not None]
    if not intervals:
        return None
    longest = max(intervals, key=lambda interval: interval.high)
    return f"{longest.low:.2f}-{longest.high:.2f}s"
