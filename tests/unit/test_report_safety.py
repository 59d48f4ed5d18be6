"""Whatever a journal holds is shown as text, in every form; and every form keeps within its bounds."""

import re
from collections import Counter
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import msgspec
import pytest

import journals
import report_samples as samples
from aftershock.core.history import History
from aftershock.core.inputs import typed
from aftershock.core.judge import judge_all
from aftershock.core.verdict import Judgement
from aftershock.model.era import Era
from aftershock.reports import html, json_report, junit, markdown, terminal
from aftershock.reports.story import headline


class Seen(HTMLParser):
    """What a browser would build: elements, attributes, and the text outside of style and script."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, str]] = []
        self.text: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.text.append(data)


@pytest.fixture(scope="module")
def hostile() -> tuple[History, list[Judgement]]:
    return samples.hostile()


def test_a_page_of_attacks_has_the_elements_of_a_page_of_names(hostile: tuple[History, list[Judgement]]) -> None:
    attacked, calm = Seen(html.render(*hostile)), Seen(html.render(*samples.aborted()))
    assert attacked.tags["script"] == calm.tags["script"] == 1
    assert attacked.tags["img"] == 0
    assert set(attacked.tags) == set(calm.tags)
    assert {name for name, _ in attacked.attributes} == {name for name, _ in calm.attributes}
    assert "<script>window.pwned=1</script>" in "".join(attacked.text)


@pytest.mark.parametrize("sample", samples.SAMPLES)
def test_the_page_refers_to_nothing_outside_itself(sample: str) -> None:
    page = html.render(*samples.SAMPLES[sample]())
    seen = Seen(page)
    for name, value in seen.attributes:
        assert name not in {"src", "srcset", "action", "style", "onload", "onerror", "onclick", "background", "poster"}
        assert name != "href" or value.startswith(("#", "data:image/svg+xml,"))
    style = re.search(r"<style>(.*?)</style>", page, re.DOTALL)
    assert style is not None
    assert not re.search(r"@import|url\((?!#)", style.group(1))
    assert seen.tags["link"] == 1


def test_the_policy_lets_in_nothing_but_this_style_and_this_script() -> None:
    policy = html.policy()
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert not re.search(r"https?:|\*|'self'", policy)


def test_every_id_is_given_once_and_every_link_leads_somewhere() -> None:
    for build in samples.SAMPLES.values():
        seen = Seen(html.render(*build()))
        ids = Counter(value for name, value in seen.attributes if name == "id")
        assert max(ids.values()) == 1
        wanted = {value[1:] for name, value in seen.attributes if name == "href" and value.startswith("#")}
        assert wanted <= set(ids)


def test_markdown_neither_calls_anybody_nor_opens_an_element(hostile: tuple[History, list[Judgement]]) -> None:
    text = markdown.render(*hostile)
    assert set(re.findall(r"<\s*([a-z/!-]+)", text)) <= {"details", "summary", "/summary", "/details", "!--"}
    assert not re.search(r"@\w", text)
    assert "\x1b" not in text


def test_a_pipe_in_a_name_does_not_make_a_column(hostile: tuple[History, list[Judgement]]) -> None:
    rows = [line for line in markdown.render(*hostile).splitlines() if line.startswith("|")]
    columns = [len(re.findall(r"(?<!\\)\|", row)) for row in rows]
    assert set(columns) == {5, 6, 4}


def test_xml_holds_only_what_xml_can_hold(hostile: tuple[History, list[Judgement]]) -> None:
    root = ET.fromstring(junit.render(*hostile).encode())
    assert "<script>window.pwned=1</script>" in "".join(root.find(".//failure").attrib.values())  # type: ignore[union-attr]


def test_nothing_repaints_the_terminal(hostile: tuple[History, list[Judgement]]) -> None:
    from rich.console import Console

    assert "\x1b" not in terminal.render(*hostile, "\x1b[2J")
    console = Console(width=100, force_terminal=False)
    with console.capture() as shown:
        console.print(terminal.drawn(*hostile, "\x1b[2J"))
    assert "\x1b" not in shown.get()
    assert "\u202e" not in shown.get()


@pytest.mark.parametrize("sample", samples.SAMPLES)
def test_json_reads_back_into_the_same_report(sample: str) -> None:
    both = samples.SAMPLES[sample]()
    read = msgspec.json.decode(json_report.render(*both), type=json_report.Report)
    assert msgspec.to_builtins(read) == msgspec.to_builtins(json_report.report(*both))
    assert read.schema == json_report.SCHEMA


def test_the_line_is_one_line() -> None:
    said = json_report.line(*samples.demo())
    assert "\n" not in said
    assert msgspec.json.decode(said)["verdict"] == "Passed"


def test_twenty_minutes_of_record_fit_every_bound() -> None:
    both = samples.long()
    assert len(html.render(*both).encode()) < 1_000_000
    assert len(markdown.render(*both)) <= markdown.LONGEST
    assert len(json_report.render(*both)) < 1_000_000


def test_a_thousand_claims_still_fit_a_comment() -> None:
    history, judgements = samples.demo()
    many = msgspec.structs.replace(judgements[0], claims=judgements[0].claims * 150, because="x" * 5_000)
    text = markdown.render(history, [many] * 900)
    assert len(text) <= markdown.LONGEST
    assert "left out" in text


JOURNALS = [
    "demo",
    "not_landed",
    "stopped_landing",
    "probes_cut_off",
    "aborted",
    "guarded",
    "executor_lost",
    "data_lost",
    "residue",
]


@pytest.mark.parametrize("name", JOURNALS)
def test_what_the_judge_says_of_every_kind_of_journal_can_be_told(name: str) -> None:
    history = getattr(journals, name)()
    judgements = judge_all(history, [typed(era, Era) for era in history.begun.eras])
    verdict = headline(history, judgements).verdict.value
    for form in (html, markdown, json_report, junit, terminal):
        text = form.render(history, judgements)
        assert verdict in text
        assert all(f"{judged.era}" in text for judged in judgements)


def test_a_journal_that_was_cut_off_after_its_first_record_can_be_told() -> None:
    history, judgements = samples.demo()
    only = History([history.begun])
    for form in (html, markdown, json_report, junit, terminal):
        assert "Passed" in form.render(only, judgements)
