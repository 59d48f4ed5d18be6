"""From names and files to a request: where an era is looked for."""

from pathlib import Path

import pytest

from aftershock.errors import InputError
from aftershock.model.load import dump_yaml
from aftershock.runtime import loading

API = "aftershock.dev/v1alpha1"


def write(folder: Path, kind: str, spec: object, name: str = "mine") -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / f"{kind.lower()}.yaml"
    path.write_text(dump_yaml({"apiVersion": API, "kind": kind, "metadata": {"name": name}, "spec": spec}))
    return path


def era(folder: Path, name: str) -> None:
    uptime = {"name": "uptime", "indicator": "pages", "target": "99%", "source": {"kind": "stated"}}
    write(folder, "Era", {"objectives": [uptime]}, name)


@pytest.mark.parametrize(
    ("eras", "given", "judges"), [([], (), "beside-the-stack"), (["era.yaml"], (), "beside-it"), ([], ("1k",), "1k")]
)
def test_an_era_that_a_document_names_as_a_file_lies_beside_it(
    eras: list[str], given: tuple[str, ...], judges: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir("/")
    era(tmp_path / "stacks", "beside-the-stack")
    era(tmp_path / "experiments", "beside-it")
    stack = write(tmp_path / "stacks", "Stack", {"era": "era.yaml", "environment": "test"})
    experiment = write(tmp_path / "experiments", "Experiment", {"stack": "mine", "eras": eras})
    request = loading.request(str(experiment), stack=str(stack), eras=given)
    assert [each.metadata.name for each in request.eras] == [judges]


def test_an_era_that_somebody_types_is_a_file_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    era(tmp_path / "here", "typed")
    monkeypatch.chdir(tmp_path)
    assert [each.metadata.name for each in loading.eras(["here/era.yaml"])] == ["typed"]
    with pytest.raises(InputError, match="there is no era"):
        loading.eras(["era.yaml"])
