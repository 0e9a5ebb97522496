"""The style sheet's colours can be read: contrast of WCAG 2.2 AA in both themes.

Covers analysis/templates/report.css.j2.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from analysis.report.figures import LIGHT

STYLE = (Path(__file__).parents[3] / "analysis" / "templates" / "report.css.j2").read_text(encoding="utf-8")
COLOURS = {name: pair for name, *pair in re.findall(r"(--[\w-]+): light-dark\((#[0-9a-f]{6}), (#[0-9a-f]{6})\)", STYLE)}
TEXT, GRAPHICS = 4.5, 3.0
"""Least contrast of text (1.4.3) and of what a figure is read by (1.4.11)."""
SERIES = [f"--series-{number}" for number in range(len(LIGHT))]


def rgb(colour: str) -> list[float]:
    """Channels from 0 to 1."""
    return [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]


def luminance(channels: list[float]) -> float:
    """Relative luminance as WCAG defines it."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: list[float], other: list[float]) -> float:
    """Contrast ratio of WCAG, 1 to 21."""
    low, high = sorted([luminance(one), luminance(other)])
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize("ground", ["--paper", "--card"])
def test_text_and_series_stand_out_from_their_ground(theme: int, ground: str) -> None:
    below = rgb(COLOURS[ground][theme])
    for names, least in ((["--ink", "--soft", "--accent", "--good", "--doubt", "--bad"], TEXT), (SERIES, GRAPHICS)):
        ratios = {name: contrast(rgb(COLOURS[name][theme]), below) for name in names}
        assert min(ratios.values()) >= least, ratios


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_scores_can_be_read_on_their_red(theme: int) -> None:
    mix = re.search(
        r"color-mix\(in srgb, (#[0-9a-f]{6}) calc\((\d+)% \+ var\(--risk\) \* (\d+)%\), var\(--card\)\)", STYLE
    )
    assert mix
    red, card, ink = (rgb(colour) for colour in (mix[1], COLOURS["--card"][theme], COLOURS["--ink"][theme]))
    share = (int(mix[2]) + int(mix[3])) / 100
    ground = [share * r + (1 - share) * c for r, c in zip(red, card, strict=True)]
    assert contrast(ink, ground) >= TEXT


def test_colours_of_pictures_are_those_of_the_light_theme() -> None:
    assert [COLOURS[name][0] for name in SERIES] == list(LIGHT)
