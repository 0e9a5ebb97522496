"""The README's figures are those of the kept results."""

from __future__ import annotations

from benchmarks import readme


def test_the_readme_shows_what_the_kept_results_say():
    assert readme.stale(readme.README.read_text(encoding="utf-8")) == []


def test_a_figure_that_was_changed_by_hand_is_told_by_the_name_of_its_block():
    text = readme.README.read_text(encoding="utf-8")
    block = next(block for block in readme.BLOCK.finditer(text) if block[2] == "steering")
    digits = block[0].replace("0.", "0.9", 1)

    assert readme.stale(text.replace(block[0], digits)) == ["steering"]
    assert readme.with_figures(text.replace(block[0], digits)) == readme.with_figures(text)


def test_a_block_that_was_taken_out_is_missed():
    text = readme.README.read_text(encoding="utf-8")
    block = next(block for block in readme.BLOCK.finditer(text) if block[2] == "real-model")

    assert readme.stale(text.replace(block[0], "")) == ["real-model"]
