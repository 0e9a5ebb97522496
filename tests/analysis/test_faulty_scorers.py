"""A scorer that raises, gives no number, hangs or dies on some texts: they are counted, and no figure moves for them.

Covers analysis.evaluations.toxicity and curation.scorers.limited.
"""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis import results
from analysis.evaluations.toxicity import scored_rows
from analysis.spec import AnalysisSpec
from analysis.stage import ANALYSIS
from analysis.statistics.frames import arms_table
from curation.scorers import load_scorer, weights_of
from curation.scorers.limited import TEXTS_AT_ONCE, Limited
from curation.scorers.options import EnsembleSpec, ProfanitySpec
from curation.scorers.profanity import Profanity
from infra.errors import InputError, ScoringError
from infra.stages.stage import run_stage
from tests.helpers.faulty_scorers import FAULTS, Faulty

LABELS = results.Labels("clean", 0.0, "keep", "m", 0, "none", 0.0)


def generated(texts: list[str]) -> list[results.Row]:
    return [results.Row(prompt=i, prompt_id=str(i), generation=text, value=None, tokens=1)
            for i, text in enumerate(texts)]  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(["good day", "a longer text than that", *FAULTS]), min_size=1, max_size=8))
def test_texts_that_cannot_be_scored_have_a_reason_and_no_figure_moves(texts: list[str]) -> None:
    rows = scored_rows(generated(texts), [Faulty()], "toxicity")
    bad = [text in FAULTS for text in texts]
    assert [row.value is None for row in rows] == bad
    assert [bool(row.reason) for row in rows] == bad and [bool(row.scores) for row in rows] == [not b for b in bad]
    alone = scored_rows(generated([text for text in texts if text not in FAULTS]), [Faulty()], "toxicity")
    assert [row.value for row in rows if row.value is not None] == [row.value for row in alone]
    if alone:
        figures = ("toxicity", "toxic_share", "expected_maximum")
        with_bad, without = (arms_table(results.frame(LABELS, "toxicity", table)) for table in (rows, alone))
        assert with_bad.select(figures).equals(without.select(figures))


def test_a_second_scorer_that_fails_leaves_the_value_of_the_first() -> None:
    first = Profanity.load(ProfanitySpec())
    (row,) = scored_rows(generated(["raises"]), [first, Faulty()], "toxicity")
    assert row.value is not None and row.reason and "cannot read this" in row.reason
    assert row.scores and [score.scorer for score in row.scores] == [first.full_identity]


@pytest.mark.parametrize(
    ("word", "reason"), [("hangs", "longer than 0.5 seconds"), ("dies", "process of a scorer died")]
)
def test_a_scorer_that_hangs_or_dies_costs_the_texts_it_does_so_on(word: str, reason: str) -> None:
    scorer = Limited(Faulty, 0.5)
    rows = scored_rows(generated(["good", word, "day"]), [scorer], "toxicity")
    assert [row.value is None for row in rows] == [False, True, False]
    assert rows[1].reason and reason in rows[1].reason


def test_a_limited_scorer_gives_the_scores_and_the_errors_of_its_scorer() -> None:
    limited, plain = load_scorer(ProfanitySpec(timeout_seconds=60)), load_scorer(ProfanitySpec())
    texts = [f"you idiot number {i}" for i in range(2 * TEXTS_AT_ONCE + 1)]
    assert isinstance(limited, Limited) and (limited.score(texts) == plain.score(texts)).all()
    assert limited.score([]).shape == (0, 1) and limited.known_words("a lovely day") == plain.known_words(
        "a lovely day"
    )
    assert limited.full_identity == plain.full_identity and "alt-profanity-check 1." in plain.full_identity
    assert weights_of(ProfanitySpec(timeout_seconds=60)) == weights_of(ProfanitySpec())
    with pytest.raises(ScoringError, match="faulty@1 gave toxicity = nan"):
        Limited(Faulty, 60).score(["nan"])
    with pytest.raises(InputError, match="no-such-folder"):
        Limited(partial(load_scorer, ProfanitySpec(calibration="no-such-folder")), 60)


def test_an_ensemble_names_the_library_of_every_member() -> None:
    both = load_scorer(EnsembleSpec(scorers=(ProfanitySpec(), ProfanitySpec())))
    assert both.full_identity.count("(alt-profanity-check 1.") == 2


def test_an_analysis_with_a_scorer_that_fails_on_some_ends_and_counts_them(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text("".join(json.dumps({"text": f"the man number {i} said"}) + "\n" for i in range(4)))
    toxicity = {"prompts": {"path": str(prompts)}, "samples": 2, "max_new_tokens": 6, "scorer": {"name": "profanity"}}
    spec = AnalysisSpec.model_validate({"name": "tiny", "model": str(tiny_model), "toxicity": toxicity})
    raw, bad = Profanity._raw_scores, []

    def fails_on_one_text(self: Profanity, texts: list[str]) -> object:
        bad.append(texts[0])
        if bad[0] in texts:
            raise RuntimeError("cannot read this")
        return raw(self, texts)

    monkeypatch.setattr(Profanity, "_raw_scores", fails_on_one_text)
    artifact = run_stage(ANALYSIS, spec, tmp_path / "tiny", quiet=True)
    table = results.read([artifact.path / results.FILE])
    failed = table["generation"] == bad[0]
    assert 0 < failed.sum() < len(table) and (table["value"].is_null() == failed).all()
    assert artifact.counts["unscored"] == failed.sum()
    assert any("have no score" in note and "cannot read this" in note for note in artifact.notes)
