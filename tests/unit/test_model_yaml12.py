"""YAML as version 1.2 reads it, with lines, and without the ways in which a small file can do harm."""

import os
import string
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from aftershock.model import yaml12
from aftershock.model.write import dump_yaml


@pytest.fixture(params=["CSafeLoader", "SafeLoader"], autouse=True)
def loader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything here holds with PyYAML's C scanner and with the pure one."""
    monkeypatch.setattr(yaml12, "_LOADER", getattr(yaml, request.param))


def value(text: str) -> Any:
    (document, sound), *others = yaml12.read(text, "x.yaml")[0]
    assert sound
    assert not others
    return document.plain()


def problems(text: str) -> list[str]:
    return [str(problem) for problem in yaml12.read(text, "x.yaml")[1]]


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("10:30", "10:30"),
        ("1:30:00", "1:30:00"),
        *((word, word) for word in ("yES", "oN", "nULL", "tRUE", "_1", "1_x", "0b12", "0o8", "v1_0", "1_000ms")),
        ("2025-01-02", "2025-01-02"),
        ("2025-01-02T03:04:05Z", "2025-01-02T03:04:05Z"),
        ("0o17", 15),
        ("0x1F", 31),
        ("-12", -12),
        ("+12", 12),
        ("1.", 1.0),
        (".5", 0.5),
        ("1e3", 1000.0),
        ("-1.5E-2", -0.015),
        ("~", None),
        ("null", None),
        ("Null", None),
        ("", None),
        ("true", True),
        ("FALSE", False),
        ("'30'", "30"),
        ('"true"', "true"),
        ("!!str 30", "30"),
        ("! 30", "30"),
        ("!!int 30", 30),
        ("!!float 30", 30),
        ("=", "="),
    ],
)
def test_scalars_are_those_of_yaml_1_2(text: str, meant: object) -> None:
    read = value(f"a: {text}\n")["a"]
    assert (read, type(read)) == (meant, type(meant))


@pytest.mark.parametrize(
    "text",
    [*("yes", "no", "on", "off", "y", "n", "Yes", "NO", "OFF", "1_000", "1_0.5", "1_0e1", "0b11", "-0b1", "0B1", "0X1F"),
     *("-0x1F", "0O17", "+0o17", "017", "-017", "08", "00", "0x1_F", "0o1_7", "!!int 017")],
)  # fmt: skip
def test_what_kubectl_would_read_otherwise_has_to_be_quoted(text: str) -> None:
    (problem,) = problems(f"a: {text}\n")
    assert "to kubectl; put it in quotes" in problem
    if not text.startswith("!"):
        assert value(f"a: '{text}'\n{text!r}: 1\n") == {"a": text, text: 1}
        assert "to kubectl" in problems(f"{text}: 1\n")[0]
        assert yaml.safe_load(dump_yaml({"a": text})) == {"a": text}
        assert value(dump_yaml({"a": text})) == {"a": text}


def test_every_node_knows_its_place() -> None:
    text = "a: 1\nb:\n  - x\n  - c: 2\n"
    document = yaml12.read(text, "x.yaml")[0][0][0]
    assert (document.line, document.column) == (1, 1)
    assert document.keys == {"a": 1, "b": 2}
    items = document.value["b"]
    assert (items.line, items.column) == (3, 3)
    assert (items.value[1].value["c"].line, items.value[1].value["c"].column) == (4, 8)


def test_several_documents_and_empty_ones() -> None:
    documents, wrong = yaml12.read("---\n---\na: 1\n--- # nothing\n---\n- 2\n", "x.yaml")
    assert [document.plain() for document, _ in documents] == [{"a": 1}, [2]]
    assert not wrong
    assert yaml12.read("# only a comment\n", "x.yaml") == ([], [])


def test_aliases_repeat_what_they_name_and_end_with_the_document() -> None:
    assert value("a: &x {b: [1]}\nc: *x\n") == {"a": {"b": [1]}, "c": {"b": [1]}}
    assert problems("a: &x 1\n---\na: *x\n") == ["x.yaml:3: a: `*x` stands for nothing; name something `&x` before it"]
    assert "stands within itself" in problems("a: &x [*x]\n")[0]


@pytest.mark.parametrize(
    ("text", "fragment"),
    [
        ("a: 1\nb: 2\na: 3\n", "x.yaml:3: a: `a` stands twice, first in line 1"),
        ("a: {b: 1, 'b': 2}\n", "x.yaml:1: a.b: `b` stands twice"),
        ("1: a\n", "the number 1 as a key"),
        ("true: a\n", "true as a key"),
        ("~: a\n", "nothing as a key"),
        ("? {a: 1}\n: b\n", "a mapping as a key"),
        ("<<: {a: 1}\n", "knows no merge key"),
        ("a: !!python/object/apply:os.system [id]\n", "x.yaml:1: a: the tag `!!python/object/apply:os.system`"),
        ("a: !custom x\n", "the tag `!custom`"),
        ("a: !!timestamp 2025-01-02\n", "the tag `!!timestamp`"),
        ("a: !!int x\n", "the tag `!!int`"),
        ("a: !!set {b}\n", "the tag `!!set`"),
        ("a: .inf\n", "not finite"),
        ("a: -.INF\n", "not finite"),
        ("a: .nan\n", "not finite"),
        ("a: 1e999\n", "not finite"),
        ("a: 9223372036854775808\n", "more than 63 bits"),
        ("a: " + "9" * 10_000 + "\n", "more than 63 bits"),
        ("a: [1,\n", "x.yaml:2: a: not YAML"),
        ("a: b: c\n", "x.yaml:1: not YAML"),
        ("a:\n\t- b\n", "x.yaml:2: a: not YAML"),
        ("a: 1\nb: \x07\n", "x.yaml:2: a character that YAML forbids ('\\x07')"),
        ("a: \ud800\n", "a character that YAML forbids ('\\ud800')"),
    ],
)
def test_traps_are_named_with_their_line(text: str, fragment: str) -> None:
    found = problems(text)
    assert len(found) == 1
    assert fragment in found[0]


def test_all_traps_of_a_file_are_named_at_once() -> None:
    assert len(problems("a: 1\na: 2\nb: .nan\n---\nc: !x y\n---\n1: 2\n[\n")) == 5


def test_what_stands_before_a_syntax_error_is_read() -> None:
    documents, wrong = yaml12.read("a: 1\n---\nb: [\n", "x.yaml")
    assert [document.plain() for document, _ in documents] == [{"a": 1}]
    assert len(wrong) == 1


def test_an_unsound_document_is_told_from_a_sound_one() -> None:
    assert [sound for _, sound in yaml12.read("a: 1\n---\nb: 1\nb: 2\n---\nc: 1\n", "x.yaml")[0]] == [True, False, True]


def test_billions_of_laughs_are_cut_short() -> None:
    laughs = "a0: &a0 [" + ", ".join(["ha"] * 10) + "]\n"
    laughs += "".join(f"a{n + 1}: &a{n + 1} [{', '.join([f'*a{n}'] * 10)}]\n" for n in range(30))
    found = problems(laughs)
    assert len(found) == 1
    assert f"more than {yaml12.MOST} values" in found[0]


def test_as_many_values_as_allowed_pass_and_one_more_does_not() -> None:
    exactly = "[" + ",".join(["1"] * (yaml12.MOST - 1)) + "]"
    assert not problems(exactly)
    assert "values, aliases counted" in problems(exactly[:-1] + ",1]")[0]


@pytest.mark.parametrize("opening", ["[", "{a: ", "- ", "? "])
def test_depth_is_bounded(opening: str) -> None:
    found = problems(opening * 5_000)
    assert len(found) == 1
    assert "levels deep" in found[0] or "not YAML" in found[0]


def test_reading_needs_neither_network_code_nor_click() -> None:
    program = textwrap.dedent("""
        import sys
        import aftershock.model.against, aftershock.model.load, aftershock.model.write
        heavy = {"asyncio", "click", "socket", "ssl", "http.client", "urllib.request", "psycopg", "rich"} & set(sys.modules)
        sys.exit(", ".join(sorted(heavy)) or None)
    """)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "operator")}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


plain_trees = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63) + 1, 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]))
    | st.sampled_from(
        ["yes", "10:30", "0o17", "1e3", "0x1", "~", "null", "1_000", "2025-01-02", "<<", "=", "- a", "a: b"]
    )
    | st.text(string.digits + "eExo.:_+-", max_size=6),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(string.printable[:95], max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)


@settings(deadline=None)
@given(tree=plain_trees)
def test_what_is_written_is_read_as_the_same(tree: object) -> None:
    assert value(dump_yaml({"tree": tree}))["tree"] == tree


@settings(deadline=None)
@given(tree=plain_trees)
def test_what_is_written_is_the_same_to_readers_of_yaml_1_1(tree: object) -> None:
    assert yaml.safe_load(dump_yaml({"tree": tree}))["tree"] == tree


@settings(deadline=None)
@given(text=st.text())
def test_any_text_gives_documents_and_problems_only(text: str) -> None:
    documents, wrong = yaml12.read(text, "x.yaml")
    for document, _ in documents:
        document.plain()
    assert all(str(problem) for problem in wrong)
