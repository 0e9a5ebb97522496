"""The page in a real browser: what a reader sees, points at, asks for and prints; and that no text of a model runs.

Covers analysis/templates: report.html.j2, report.css.j2, report.js.j2.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from analysis.report.page import write_report
from tests.helpers import made_up_study
from tests.helpers.browsers import DESKTOP, PHONE, Browser, skip_reason

pytestmark = pytest.mark.skipif(bool(skip_reason()), reason=skip_reason())

HOSTILE = (
    "<script>window.hit = 1</script>",
    "</script><script>window.hit = 2</script>",
    '<img src="x" onerror="window.hit = 3">',
    "]]></style>--><svg onload='window.hit = 4'>",
)
LETTERS = "return getComputedStyle(document.querySelector('#headline-0 .xtick text')).fill"
METHOD = "iti<img src=x onerror=window.hit=5>"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study whose texts, names and notes all try to run a script."""
    study = made_up_study.report(prompts=20, samples=2)
    texts = pl.Series("text", HOSTILE)
    rows = study.results.with_columns(
        prompt_text=pl.col("prompt_text") + " slur " + pl.lit(HOSTILE[2]),
        generation=pl.lit("slur ") + texts.gather(study.results["prompt"] % len(HOSTILE)),
        method=pl.col("method").replace("iti", METHOD),
    )
    named = replace(study, title=f"study {HOSTILE[1]}", notes=HOSTILE, results=rows)
    named = made_up_study.with_groups(named, HOSTILE, instance="set<b onclick=window.hit=6>")
    named = made_up_study.with_checkpoints(named, (100, 200), ("none", METHOD))
    folder = tmp_path_factory.mktemp("browsed")
    write_report(named, folder)
    return folder / "report.html"


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    browser = Browser(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.driver.quit()


@pytest.fixture
def browser(chromium: Browser, page: Path) -> Browser:
    """The page, freshly opened on a desktop by day, with nothing remembered."""
    chromium.size(DESKTOP)
    chromium.media()
    chromium.command("Storage.clearDataForOrigin", origin="file://", storageTypes="all")
    chromium.open(page)
    return chromium


def box(browser: Browser, element: str) -> dict[str, float]:
    """Where the first element of a selector is in the window."""
    return browser.run(f"return document.querySelector({element!r}).getBoundingClientRect().toJSON()")


def shown(browser: Browser, element: str) -> bool:
    """Whether the first element of a selector is drawn."""
    return browser.run(f"return document.querySelector({element!r}).checkVisibility()")


def point_at(browser: Browser, dot: str) -> str:
    """What the tooltip says with the mouse on a point of a figure."""
    from selenium.webdriver import ActionChains
    from selenium.webdriver.common.by import By

    target = browser.driver.find_element(By.CSS_SELECTOR, dot)
    browser.run(f"document.querySelector({dot!r}).scrollIntoView({{block: 'center', behavior: 'instant'}})")
    ActionChains(browser.driver).move_to_element(target).perform()
    lines = "return [...document.querySelectorAll('.hovertext tspan.line, .hovertext text')].map(e => e.textContent)"
    return "\n".join(browser.wait(lines))


def spoken(browser: Browser) -> str:
    """All that a screen reader finds."""
    nodes = browser.command("Accessibility.getFullAXTree")["nodes"]
    return "\n".join(str(node.get("name", {}).get("value", "")) for node in nodes if not node.get("ignored"))


def test_page_draws_without_an_error_and_runs_nothing_of_its_texts(browser: Browser) -> None:
    empty = "return [...document.querySelectorAll('.plot')].filter(plot => !plot.querySelector('.point')).length"
    assert browser.run(empty) == 0
    browser.run("document.getElementById('reveal').click()")
    point_at(browser, "#frontier-1 .point")
    assert browser.errors() == []
    assert browser.run("return window.hit ?? null") is None
    assert browser.run("return document.querySelectorAll('main script, main svg[onload], img[onerror]').length") == 0


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_first_screen_has_question_verdict_and_picture(browser: Browser, size: tuple[int, int]) -> None:
    browser.size(size)
    browser.driver.refresh()
    browser.wait("return 'drawn' in document.documentElement.dataset")
    for element in ("#answer h2", ".verdict", "#figure-headline"):
        place = box(browser, element)
        assert place["top"] >= 0 and place["bottom"] <= size[1] and place["right"] <= size[0], (element, place)
    assert browser.run("return document.documentElement.scrollWidth") <= size[0]
    rings = "return [...document.querySelectorAll('#figure-headline .annotation-text')].map(e => e.textContent)"
    assert {"clean best", "risky best"} <= set(browser.run(rings))


def test_tooltip_has_the_figures_with_their_intervals(browser: Browser) -> None:
    words = point_at(browser, "#frontier-1 .trace:last-child .point")
    assert re.search(r"10 % keep, sasa at strength \d+", words)
    assert re.search(r"mean toxicity 0\.\d{3} \[0\.\d{3}, 0\.\d{3}\]", words) and "above own" in words
    assert "slur" not in words and not re.search(r"\d\.\d{4,}", words)


def test_names_of_groups_are_read_as_they_are_and_have_their_figures_on_hover(browser: Browser) -> None:
    labels = browser.run("return [...document.querySelectorAll('#sets-0 .ytick text')].map(e => e.textContent)")
    assert sorted(labels) == sorted(f"{name[:23]}…" for name in HOSTILE)
    words = point_at(browser, "#sets-0 .trace .point")
    assert any(name in words for name in HOSTILE) and "5 prompts" in words
    assert re.search(r"mean toxicity 0\.\d{3} \[0\.\d{3}, 0\.\d{3}\]", words)


def test_bands_are_seen_through_in_both_themes_and_go_with_their_series(browser: Browser) -> None:
    fill = "const s = getComputedStyle(document.querySelector('#fitted-0 .js-fill')); return [s.fill, s.fillOpacity]"
    day = browser.run(fill)
    assert day == ["rgb(91, 102, 120)", "0.2"]
    browser.run("document.getElementById('theme').click()")
    assert browser.run(fill) == ["rgb(162, 173, 191)", "0.2"]
    count = "return document.querySelectorAll('#fitted-0 .js-fill').length"
    before = browser.run(count)
    browser.run("document.querySelector('#figure-fitted [data-series=unsteered]').click()")
    assert 0 < browser.run(count) < before


def test_figures_of_a_section_are_drawn_one_after_the_other(browser: Browser) -> None:
    """Toxicity over the checkpoints and, below it, the probes' accuracy."""
    for name in ("over-training-0", "over-training-figure-2-0"):
        ticks = f"return [...document.querySelectorAll('#{name} .xtick text')].map(e => e.textContent)"
        assert browser.run(ticks) == ["100", "200", "end"]
    assert box(browser, "#over-training-figure-2-0")["top"] > box(browser, "#over-training-0")["bottom"]


def test_series_are_hidden_by_their_button(browser: Browser) -> None:
    count = "return document.querySelectorAll('#frontier-1 .point').length"
    before = browser.run(count)
    browser.run("document.querySelector('#figure-frontier [data-series=sasa]').click()")
    assert browser.run(count) == before - 3
    pressed = "return document.querySelector('#figure-frontier [data-series=sasa]').getAttribute('aria-pressed')"
    assert browser.run(pressed) == "false"


def test_filter_leaves_the_rows_that_have_all_words(browser: Browser) -> None:
    from selenium.webdriver.common.by import By

    browser.run("document.querySelectorAll('.fold').forEach(fold => { fold.open = true; })")
    holder = browser.driver.find_elements(By.CSS_SELECTOR, "#frontier .tabled")[0]
    field = holder.find_element(By.CSS_SELECTOR, "input[type=search]")
    field.send_keys("SASA 25")
    rows = [row.text for row in holder.find_elements(By.CSS_SELECTOR, "tbody tr") if row.is_displayed()]
    assert len(rows) >= 6 and all("sasa" in row and "25" in row for row in rows)
    assert holder.find_element(By.CSS_SELECTOR, "[role=status]").text.startswith(f"{len(rows)} of ")


def test_texts_are_neither_seen_nor_read_aloud_before_they_are_asked_for(browser: Browser) -> None:
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    body = browser.driver.find_element(By.TAG_NAME, "body")
    assert "slur" not in body.text and "slur" not in spoken(browser)
    browser.driver.find_element(By.CSS_SELECTOR, ".sample td .veil > summary").send_keys(Keys.ENTER)
    assert body.text.count("slur") == 1 and "slur" in spoken(browser)
    reveal = browser.driver.find_element(By.ID, "reveal")
    reveal.send_keys(Keys.SPACE)
    assert reveal.get_attribute("aria-pressed") == "true" and body.text.count("slur") > 50
    reveal.send_keys(Keys.SPACE)
    assert "slur" not in body.text and "slur" not in spoken(browser)


def colours(browser: Browser) -> tuple[str, str]:
    """Of the page's ground, and of the letters in a figure."""
    ground = "return getComputedStyle(document.body).backgroundColor"
    return browser.run(ground), browser.run(LETTERS)


def test_both_themes_reach_page_and_figures(browser: Browser) -> None:
    day = colours(browser)
    browser.media(scheme="dark")
    browser.wait(f"{LETTERS} !== 'rgb(27, 34, 48)'")
    night = colours(browser)
    assert day == ("rgb(255, 255, 255)", "rgb(27, 34, 48)") and night == ("rgb(17, 21, 28)", "rgb(231, 234, 240)")
    browser.run("document.getElementById('theme').click()")
    assert colours(browser) == day
    browser.run("document.getElementById('theme').click()")
    assert colours(browser) == night


def test_paper_is_light_has_every_table_and_no_text_that_was_not_asked_for(browser: Browser) -> None:
    browser.media(scheme="dark")
    printed = browser.command("Page.printToPDF", printBackground=True)
    assert base64.b64decode(printed["data"]).startswith(b"%PDF")
    assert browser.run("return document.querySelectorAll('.fold[open]').length") == 0
    browser.run("dispatchEvent(new Event('beforeprint'))")
    browser.media("print", "dark")
    assert colours(browser) == ("rgb(255, 255, 255)", "rgb(27, 34, 48)")
    assert not shown(browser, ".bar") and not shown(browser, ".veil > p") and shown(browser, ".fold tbody tr")
    browser.run("dispatchEvent(new Event('afterprint'))")
    browser.media(scheme="dark")
    assert colours(browser)[0] == "rgb(17, 21, 28)" and not shown(browser, ".fold tbody tr")


def test_keyboard_reaches_what_can_be_operated_and_focus_is_seen(browser: Browser) -> None:
    from selenium.webdriver import ActionChains
    from selenium.webdriver.common.keys import Keys

    reached = []
    for _ in range(16):
        ActionChains(browser.driver).send_keys(Keys.TAB).perform()
        active = "const e = document.activeElement; return [e.tagName, getComputedStyle(e).outlineStyle]"
        reached.append(browser.run(active))
    assert {"A", "BUTTON"} <= {name for name, _ in reached} and {outline for _, outline in reached} == {"solid"}


def test_without_scripts_the_picture_the_tables_and_single_texts_are_there(chromium: Browser, page: Path) -> None:
    chromium.command("Emulation.setScriptExecutionDisabled", value=True)
    try:
        chromium.open(page, drawn=False)
        assert shown(chromium, "#figure-headline .still img") and not shown(chromium, "#figure-headline .drawn")
        assert shown(chromium, "#heads tbody tr") and shown(chromium, ".veil > summary")
        assert not shown(chromium, ".veil > p") and not shown(chromium, "#reveal")
    finally:
        chromium.command("Emulation.setScriptExecutionDisabled", value=False)


def test_browser_that_cannot_inflate_keeps_the_picture(chromium: Browser, page: Path) -> None:
    script: dict[str, Any] = chromium.command(
        "Page.addScriptToEvaluateOnNewDocument", source="delete window.DecompressionStream"
    )
    try:
        chromium.open(page, drawn=False)
        assert shown(chromium, "#figure-headline .still img") and shown(chromium, "#theme")
        assert chromium.errors() == []
    finally:
        chromium.command("Page.removeScriptToEvaluateOnNewDocument", identifier=script["identifier"])


def test_headings_are_in_order_and_pictures_have_words(browser: Browser) -> None:
    names = browser.run("return [...document.querySelectorAll('h1, h2, h3, h4')].map(e => e.tagName)")
    levels = [int(name[1]) for name in names]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert browser.run("return document.documentElement.lang") == "en"
    unnamed = "img:not([alt]), [role=img]:not([aria-label]), figure:not([aria-label]), input:not([aria-label])"
    assert browser.run(f"return document.querySelectorAll('{unnamed}').length") == 0
    lost = "return [...document.querySelectorAll('nav a')].filter(link => !document.querySelector(link.hash)).length"
    assert browser.run(lost) == 0
