"""The report in a real browser: alone, readable on a phone, by keyboard, in the dark, in print, and without script."""

import re
import shutil
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

import report_samples as samples
from aftershock.reports import html

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine: apt-get install chromium")

QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PHONE, DESK = {"width": 360, "height": 740}, {"width": 1280, "height": 900}
READABLE = 4.5
"""Contrast of text, WCAG 2.2 AA."""


@pytest.fixture(scope="module")
def browser() -> "Iterator[playwright.Browser]":
    with playwright.sync_playwright() as driver:
        launched = driver.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield launched
        launched.close()


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("reports")
    for name, build in samples.SAMPLES.items():
        (folder / f"{name}.html").write_text(html.render(*build()), encoding="utf-8")
    return {name: folder / f"{name}.html" for name in samples.SAMPLES}


@pytest.fixture
def show(browser: "playwright.Browser", pages: dict[str, Path]) -> "Iterator[Show]":
    shown = Show(browser, pages)
    yield shown
    shown.close()


class Show:
    """Opens samples, and remembers what the browser asked for and complained of."""

    def __init__(self, browser: "playwright.Browser", pages: dict[str, Path]) -> None:
        self._browser, self._pages = browser, pages
        self._contexts: list[playwright.BrowserContext] = []
        self.requests: list[str] = []
        self.complaints: list[str] = []

    def __call__(self, sample: str, **settings: object) -> "playwright.Page":
        context = self._browser.new_context(**{"viewport": DESK, **settings})
        self._contexts.append(context)
        page = context.new_page()
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.goto(self._pages[sample].as_uri())
        return page

    def close(self) -> None:
        for context in self._contexts:
            context.close()


@pytest.mark.parametrize("sample", samples.SAMPLES)
def test_the_page_asks_for_nothing_and_complains_of_nothing(show: Show, sample: str) -> None:
    show(sample).wait_for_load_state("networkidle")
    assert [url for url in show.requests if not url.startswith("data:")] == show.requests[:1]
    assert show.requests[0].startswith("file:")
    assert show.complaints == []


@pytest.mark.parametrize("sample", samples.SAMPLES)
def test_no_page_scrolls_sideways(show: Show, sample: str) -> None:
    page = show(sample)
    page.evaluate("document.querySelectorAll('details').forEach(fold => { fold.open = true; })")
    for width in (320, 360, 768, 1280):
        page.set_viewport_size({"width": width, "height": 740})
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_attacks_are_text(show: Show) -> None:
    page = show("hostile")
    assert page.evaluate("window.pwned") is None
    assert page.locator("img").count() == 0
    assert "<script>window.pwned=1</script>" in page.locator("h1").inner_text()


def test_the_policy_stops_what_the_escaping_would_let_through(show: Show) -> None:
    page = show("demo")
    page.evaluate(
        """() => { const put = document.createElement('div'); document.body.append(put);
        put.innerHTML = '<img src=x onerror="window.pwned=1"><iframe src="https://example.invalid/"></iframe>';
        const script = document.createElement('script'); script.textContent = 'window.pwned=2'; put.append(script); }"""
    )
    page.wait_for_timeout(200)
    assert page.evaluate("window.pwned") is None
    assert any("Content Security Policy" in complaint for complaint in show.complaints)


@pytest.mark.parametrize(("sample", "word"), [("demo", "Passed"), ("unknown", "Inconclusive"), ("aborted", "Failed")])
@pytest.mark.parametrize("viewport", [PHONE, DESK], ids=["phone", "desk"])
def test_the_verdict_and_why_are_on_the_first_screen(
    show: Show, sample: str, word: str, viewport: dict[str, int]
) -> None:
    page = show(sample, viewport=viewport)
    assert page.title().startswith(word)
    for part in (page.locator("#verdict"), page.locator(".because")):
        box = part.bounding_box()
        assert box is not None
        assert box["y"] + box["height"] < viewport["height"]
    assert page.locator("#verdict").inner_text() == word
    shape = page.locator(".call .sign use").get_attribute("href")
    assert shape == f"#sign-{word.lower()}"


def test_without_script_the_whole_report_is_there(show: Show) -> None:
    page = show("demo", java_script_enabled=False)
    assert page.locator("#verdict").inner_text() == "Passed"
    assert page.locator(".era").count() == 4
    assert page.locator("svg.plot").first.is_visible()
    assert page.locator("#moment").count() == 0
    page.locator("summary", has_text="The timeline as a table").click()
    assert page.locator("#timeline-table").is_visible()


INTERACTIVE = "a[href], summary, input, [tabindex='0']"


def test_the_keyboard_reaches_everything_in_order_and_shows_where_it_is(show: Show) -> None:
    page = show("demo")
    page.evaluate("document.querySelectorAll('details').forEach(fold => { fold.open = true; })")
    wanted = page.locator(INTERACTIVE).count()
    seen: list[int] = []
    for _ in range(wanted + 5):
        page.keyboard.press("Tab")
        found = page.evaluate(
            """selector => { const on = document.activeElement, style = getComputedStyle(on);
            const index = [...document.querySelectorAll(selector)].indexOf(on);
            return [index, style.outlineStyle, parseFloat(style.outlineWidth)]; }""",
            INTERACTIVE,
        )
        if found[0] < 0:
            break
        assert found[1] == "solid", f"element {found[0]} has no visible focus"
        assert found[2] >= 2
        seen.append(found[0])
    assert seen == list(range(wanted))


def test_the_skip_link_comes_first_and_shows_itself(show: Show) -> None:
    page = show("demo")
    page.keyboard.press("Tab")
    link = page.locator(".skip")
    box = link.bounding_box()
    assert page.evaluate("document.activeElement.className") == "skip"
    assert box is not None
    assert box["x"] >= 0


def test_keys_read_the_timeline_as_the_pointer_does(show: Show) -> None:
    page = show("demo")
    slider, said = page.locator("#moment"), page.locator(".reader output")
    slider.focus()
    page.keyboard.press("Home")
    before = said.inner_text()
    assert "Baseline" in before
    assert "100%" in before
    for _ in range(12):
        page.keyboard.press("ArrowRight")
    during = said.inner_text()
    assert "meeting-success: 0%" in during
    assert slider.get_attribute("aria-valuetext") in during.replace(": ", ", ", 1)
    plot = page.locator("svg.plot").first
    box = plot.bounding_box()
    assert box is not None
    plot.hover(position={"x": box["width"] * 0.5, "y": 20})
    assert said.inner_text() == during
    plot.hover(position={"x": box["width"] * 0.97, "y": 20})
    assert "Recovery" in said.inner_text()


def test_every_table_has_a_caption_and_heads_and_every_drawing_a_name(show: Show) -> None:
    page = show("demo")
    bare = page.evaluate(
        """() => [...document.querySelectorAll('table')].filter(table => !table.caption || !table.caption.textContent
          || ![...table.tHead.rows[0].cells].every(cell => cell.scope === 'col')
          || ![...table.tBodies[0].rows].every(row => row.cells[0].scope === 'row')).length"""
    )
    assert bare == 0
    nameless = page.evaluate(
        """() => [...document.querySelectorAll('svg[role=img]')].filter(drawing =>
          !drawing.getAttribute('aria-label') && !drawing.querySelector(':scope > title')).length"""
    )
    assert nameless == 0
    levels = page.evaluate("[...document.querySelectorAll('h1,h2,h3,h4')].map(head => Number(head.tagName[1]))")
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))


CONTRASTS = """() => {
  const parse = colour => (colour.match(/[\\d.]+/g) || []).map(Number);
  const over = (top, under) => { const a = top[3] ?? 1; return [0, 1, 2].map(i => top[i] * a + under[i] * (1 - a)); };
  const ground = node => { const layers = [];
    for (let on = node; on; on = on.parentElement) layers.unshift(parse(getComputedStyle(on).backgroundColor));
    return layers.reduce((under, top) => over(top, under), [255, 255, 255]); };
  const light = rgb => { const [r, g, b] = rgb.map(v => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const found = [];
  for (const node of document.querySelectorAll('body *')) {
    const own = [...node.childNodes].some(child => child.nodeType === 3 && child.textContent.trim());
    if (!own || node.closest('script, style, title, desc, .definitions, .skip') || !node.getClientRects().length) continue;
    const style = getComputedStyle(node), drawn = node instanceof SVGElement;
    let under = ground(drawn ? node.ownerSVGElement.closest('div, li') : node);
    const box = drawn && node.parentElement.querySelector(':scope > .phase, :scope > .fault');
    if (box) under = over(parse(getComputedStyle(box).fill), under);
    if (drawn && style.stroke !== 'none') under = parse(style.stroke);  // a halo is what the letters stand on
    const colour = over(parse(drawn ? style.fill : style.color), under);
    const [high, low] = [light(colour), light(under)].sort((a, b) => b - a);
    const which = `${node.tagName}.${node.getAttribute('class') || ''}: ${node.textContent.trim().slice(0, 40)}`;
    found.push([(high + 0.05) / (low + 0.05), which]);
  }
  return found; }"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("sample", ["demo", "unknown", "aborted"])
def test_every_text_is_readable(show: Show, sample: str, scheme: str) -> None:
    page = show(sample, color_scheme=scheme)
    page.evaluate("document.querySelectorAll('details').forEach(fold => { fold.open = true; })")
    found = page.evaluate(CONTRASTS)
    assert len(found) > 150
    assert [each for each in found if each[0] < READABLE] == []


def test_dark_is_dark_and_light_is_light(show: Show) -> None:
    grounds = []
    for scheme in ("light", "dark"):
        colour = show("demo", color_scheme=scheme).evaluate("getComputedStyle(document.body).backgroundColor")
        grounds.append(sum(int(part) for part in re.findall(r"\d+", colour)) / 3)
    assert grounds[0] > 230
    assert grounds[1] < 40


def test_print_opens_every_fold_and_leaves_out_what_paper_has_no_use_for(show: Show) -> None:
    page = show("demo")
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("details:not([open])").count() == 0
    assert page.locator("pre").first.is_visible()
    assert not page.locator("nav").is_visible()
    assert not page.locator(".reader").is_visible()
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.locator("details[open]").count() == 0
    assert page.pdf(format="A4").startswith(b"%PDF")


def test_print_breaks_no_phase_in_two(show: Show) -> None:
    """A stack with many indicators leaves little room for each column."""
    page = show("demo")
    page.set_viewport_size({"width": 240, "height": 900})
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    lines = page.evaluate("""
        [...document.querySelectorAll('#timeline-table :is(th, td):nth-child(2)')].map(cell => {
            const text = document.createRange();
            text.selectNodeContents(cell);
            return new Set([...text.getClientRects()].map(box => Math.round(box.top))).size;
        })
    """)
    assert len(lines) > 3
    assert set(lines) == {1}


def test_print_without_script_shows_what_is_folded(show: Show) -> None:
    page = show("demo", java_script_enabled=False)
    page.emulate_media(media="print")
    assert page.locator("pre").first.is_visible()
