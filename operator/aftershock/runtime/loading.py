"""From names and files to a checked request: experiment, stack, eras, faults. Nothing is touched; all errors at once."""

import os
import shlex
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any, TypeVar, cast

import msgspec

from aftershock.adapters import catalog, home
from aftershock.core.history import History
from aftershock.core.plan import Plan, compile_plan
from aftershock.errors import InputError, TargetError
from aftershock.faults.fault import Parameters, Site
from aftershock.faults.registry import FAULTS
from aftershock.model.against import check_against
from aftershock.model.check import Unread
from aftershock.model.era import Era
from aftershock.model.experiment import Experiment
from aftershock.model.load import Document, Kind, from_tree, load
from aftershock.model.metadata import Record
from aftershock.model.problem import Invalid, Problem
from aftershock.model.stack import Stack
from aftershock.model.units import Unit
from aftershock.runtime.executor import Inputs
from aftershock.runtime.holding import Injection

ALL = "all"
YAML = (".yaml", ".yml")
K = TypeVar("K", bound=Kind)


class Request(msgspec.Struct, frozen=True):
    """A run that could be started: everything read, checked and found to fit."""

    experiment: Document[Experiment]
    stack: Document[Stack]
    era_documents: Sequence[Document[Era]]
    plan: Plan
    runs: Path

    @property
    def eras(self) -> list[Era]:
        """The eras that judge."""
        return [document.object for document in self.era_documents]

    @property
    def folder(self) -> Path:
        """Where the stack's file lies; relative paths in it start there."""
        return Path(self.stack.file).absolute().parent

    @property
    def stack_called(self) -> str:
        """What `--stack` has to say to mean this stack: the name of one that is up on this machine, or else its file."""
        local = home.stacks() / self.stack.name / "stack.yaml"
        return self.stack.name if Path(self.stack.file).absolute() == local.absolute() else shlex.quote(self.stack.file)

    def inputs(self, run: str, token: str) -> Inputs:
        """Return what the executor needs."""
        return Inputs(
            run=run,
            token=token,
            experiment=self.experiment.object,
            stack=self.stack.object,
            eras=self.eras,
            plan=self.plan,
            injections=[self._injection(number) for number in range(len(self.plan.steps))],
            folder=self.folder,
        )

    def refuse(self) -> None:
        """Raise InputError where a fault can't be held at its target, by what the Stack says; nothing is touched."""
        for number in range(len(self.plan.steps)):
            each = self._injection(number)
            each.fault.refuse(each.site, each.parameters)
        self._refuse_two_at_once()

    async def doubt(self) -> list[str]:
        """Ask the targets, changing nothing, whether the faults can be held; return which could not be asked, a line each.

        InputError where one says no.
        """
        unasked = []
        for number in range(len(self.plan.steps)):
            each = self._injection(number)
            try:
                await each.fault.doubt(each.site, each.parameters)
            except TargetError as error:
                unasked.append(
                    f"{each.step.fault} at {each.step.target} can be refused when it runs: {error.problem}; {error.advice}"
                )
        return unasked

    def _refuse_two_at_once(self) -> None:
        """Raise InputError where two faults need, at the same time, what only one of them can have."""
        injections = sorted(
            (self._injection(number) for number in range(len(self.plan.steps))), key=lambda each: each.step.injection
        )
        for one, other in combinations(injections, 2):
            if one.step.end <= other.step.start or other.step.end <= one.step.start:
                continue
            both = set(one.fault.alone(one.site, one.parameters)) & set(other.fault.alone(other.site, other.parameters))
            if both:
                raise InputError(
                    f"{_called(one)} and {_called(other)} are held at the same time, and both need {', '.join(sorted(both))}",
                    f"let one end before the other begins, from {max(one.step.start, other.step.start):g} s on they overlap",
                )

    def _injection(self, number: int) -> Injection:
        step = self.plan.steps[number]
        fault = FAULTS[step.fault]
        allowed = self.stack.object.spec.allow.collateral and self.experiment.object.spec.allow.collateral
        site = Site(self.stack.object, step.target, self.folder, collateral=allowed)
        return Injection(step, fault, site, parameters(fault.parameters, step.parameters))


def _called(injection: Injection) -> str:
    step = injection.step
    return f"timeline[{step.injection}], {step.fault} at {step.target},"


def parameters(kind: type[Parameters], tree: Mapping[str, Any]) -> Parameters:
    """Return a fault's `with:`, which the checker has found sound, as its type."""
    return msgspec.convert(dict(tree), kind, dec_hook=_unit)


def _unit(kind: type[Any], value: Any) -> Any:
    return kind.parse(str(value)) if issubclass(kind, Unit) else value


def request(
    experiment: str, *, stack: str | None = None, eras: Sequence[str] = (), runs: Path | None = None
) -> Request:
    """Read and check all that a run needs. Invalid with every problem of every file; InputError for what isn't there."""
    file = _experiment_file(experiment)
    try:
        asked = _one(file, Experiment)
    except Invalid as invalid:
        raise Invalid(sorted([*invalid.problems, *_unsound_misfits(file, stack)], key=_line)) from None
    target = _one(stack_file(stack or asked.object.spec.stack), Stack)
    check_fit(asked, target)
    if eras:
        judges = _era_documents(eras)
    else:  # a file that a document names lies beside it
        judges = _era_documents(
            judging(asked.object, target.object), Path(asked.file if asked.object.spec.eras else target.file).parent
        )
    return fitted(asked, target, judges, runs or home.runs())


def _line(problem: Problem) -> int:
    return problem.line or 0


def _unsound_misfits(file: Path, stack: str | None) -> Iterable[Problem]:
    """Return what else keeps the experiments of a file that have problems of their own from running on their stack."""
    for document in load(file, FAULTS).experiments:
        try:
            yield from check_against(document, _one(stack_file(stack or document.object.spec.stack), Stack), FAULTS)
        except (InputError, Invalid, Unread):
            continue


def experiment_from(file: Path) -> Document[Experiment]:
    """Read one experiment. Invalid where it is none."""
    return _one(file, Experiment)


def judging(experiment: Experiment, stack: Stack) -> Sequence[str]:
    """Return the names of the eras that judge: the experiment's own, or else the stack's."""
    return experiment.spec.eras or [stack.spec.era]


def check_fit(experiment: Document[Experiment], stack: Document[Stack]) -> None:
    """Raise Invalid with everything that keeps the experiment from running on the stack."""
    if problems := check_against(experiment, stack, FAULTS):
        raise Invalid(problems)


def fitted(
    experiment: Document[Experiment], stack: Document[Stack], era_documents: Sequence[Document[Era]], runs: Path
) -> Request:
    """Return the request that is made of documents which fit each other. InputError for a fault that the Stack rules out."""
    made = Request(experiment, stack, era_documents, compile_plan(experiment.object, stack.object), runs)
    made.refuse()
    return made


def _experiment_file(name: str) -> Path:
    path = Path(name)
    if path.exists() or path.suffix in YAML:
        return path
    shipped = {file.stem: file for file in catalog.experiments()}
    if name in shipped:
        return shipped[name]
    raise InputError(
        f"there is no experiment {name!r}", f"give a file, or one of: {', '.join(shipped)} (see `aftershock catalog`)"
    )


def stack_file(name: str) -> Path:
    """Return the file of a stack: a path, or the name of one that is up on this machine."""
    path = Path(name)
    if path.is_file():
        return path
    local = home.stacks() / name / "stack.yaml"
    if "/" not in name and local.is_file():
        return local
    here = ", ".join(file.parent.name for file in _local_files()) or "none"
    eras = [file.stem.removeprefix("values-") for file in catalog.values()]
    era = name.removeprefix("meetings-")
    smallest = min(eras, key=lambda each: (len(each), each))
    raise InputError(
        f"there is no stack {name!r}; on this machine there are: {here}",
        f"`aftershock stack up {era if era in eras else smallest}` starts one, or give --stack FILE",
    )


def stack_files(names: Sequence[str]) -> list[Path]:
    """Return the files of the named stacks, or of every local one."""
    return [stack_file(name) for name in names] if names else _local_files()


def _local_files() -> list[Path]:
    return sorted(home.stacks().glob("*/stack.yaml"))


def stack_from(file: Path) -> Stack:
    """Read one stack. Invalid where it is none."""
    return _one(file, Stack).object


def eras(names: Sequence[str]) -> list[Era]:
    """Return eras by name or file; `all` for every one that comes along, as history had them."""
    return [document.object for document in _era_documents(names)]


def eras_for(history: History, names: Sequence[str]) -> list[Era]:
    """Return the eras that are asked for, or else those that stand in the journal."""
    if names:
        return eras(names)
    if not history.begun.eras:
        raise InputError(
            f"the run {history.begun.run} names no era to be judged by", "give one: --era 1k, or --era all"
        )
    return [_as_recorded(tree) for tree in history.begun.eras]


def _as_recorded(tree: dict[str, Any]) -> Era:
    return from_tree(tree, Era, name="the journal's era", rules={})  # rules that came later bind no old record


def _era_documents(names: Sequence[str], folder: Path = Path()) -> list[Document[Era]]:
    shipped = {path.stem: path for path in catalog.eras()}
    return [_one(file, Era) for name in names for file in _era_files(name, shipped, folder)]


ORDER = ("1k", "10k", "100k", "1m", "10m", "covid", "post")
"""The eras as history had them."""


def _era_files(name: str, shipped: Mapping[str, Path], folder: Path) -> list[Path]:
    if name == ALL:
        return [shipped[era] for era in ORDER if era in shipped]
    if name in shipped:
        return [shipped[name]]
    if (folder / name).is_file():
        return [folder / name]
    raise InputError(f"there is no era {name!r}", f"give a file, `{ALL}`, or one of: {', '.join(ORDER)}")


def _one(path: Path, kind: type[K]) -> Document[K]:
    """Read the one document of a kind that a file holds."""
    found = load(path, FAULTS)
    documents = [document for document in found.sound() if isinstance(document.object, kind)]
    if len(documents) != 1:
        name = cast("type[Record]", kind).__name__
        raise InputError(
            f"{path} holds {len(documents)} documents of kind {name}", f"give a file with exactly one {name}"
        )
    return cast("Document[K]", documents[0])


# Validation of whole folders


class Found(msgspec.Struct, frozen=True):
    """What `validate` saw."""

    files: Sequence[Path]
    documents: int
    problems: Sequence[Problem]


def validate(paths: Sequence[Path]) -> Found:
    """Check files and folders; experiments also against their stacks, where those are among them or on this machine."""
    closed: list[Problem] = []
    files = [file for path in paths for file in _yaml_files(path, closed)]
    loaded = [load(file, FAULTS) for file in files]
    documents = [document for each in loaded for document in each.documents]
    problems = [*closed, *(problem for each in loaded for problem in each.problems)]
    problems += _misfits(documents, [document for each in loaded for document in each.experiments])
    if not files and not closed:
        names = ", ".join(map(str, paths))
        problems.append(Problem(names, None, "", "holds no YAML file", "name files that end in .yaml"))
    place = {str(file): number for number, file in enumerate(files)}
    problems.sort(key=lambda problem: (place.get(problem.file, 0), _line(problem)))
    return Found(files, len(documents), problems)


def _yaml_files(path: Path, closed: list[Problem]) -> Iterable[Path]:
    """Return a file, or what a folder has of them; a folder that can't be looked into is a problem, and no empty one."""
    if not path.is_dir():
        return [path]

    def refused(error: OSError) -> None:
        closed.append(
            Problem(str(error.filename), None, "", f"can't be read: {error.strerror}", "check its permissions")
        )

    names = [Path(folder) / name for folder, _, found in os.walk(path, onerror=refused) for name in found]
    return sorted(file for file in names if file.suffix in YAML and not file.is_fifo())


def _misfits(documents: Sequence[Document[Kind]], unsound: Sequence[Document[Experiment]]) -> list[Problem]:
    stacks = {
        document.name: cast("Document[Stack]", document) for document in documents if isinstance(document.object, Stack)
    }
    sound = [document for document in documents if isinstance(document.object, Experiment)]
    problems = []
    for document in (*cast("list[Document[Experiment]]", sound), *unsound):
        try:
            name = document.object.spec.stack
        except Unread:
            continue
        if (stack := stacks.get(name) or _local_stack(name)) is not None:
            problems += check_against(document, stack, FAULTS)
    return problems


def _local_stack(name: str) -> Document[Stack] | None:
    file = home.stacks() / name / "stack.yaml"
    try:
        return _one(file, Stack) if "/" not in name and file.is_file() else None
    except InputError:
        return None
