"""`kind: linear` and its scorer: disguises are undone, equal data give equal bytes, probabilities mean something.

Covers curation.models.linear, curation.scorers.linear, curation.text.disguises, curation.training.held_out,
curation.training.linear.fit, curation.training.linear.spec and curation.training.linear.stage.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from curation.models.linear import MODEL, WEIGHTS
from curation.scorers import card_of, load_scorer, weights_of
from curation.scorers.options import LinearScorerSpec
from curation.scoring.unscored import why_unscored
from curation.sources.spec import SourceSpec
from curation.text.disguises import plain_spelling
from curation.training.fasttext.spec import ExamplesSpec
from curation.training.linear.fit import source_weights
from curation.training.linear.spec import LinearSpec
from curation.training.linear.stage import LINEAR
from infra.artifacts.artifact import Artifact
from infra.errors import InputError
from infra.stages.stage import run_stage
from tests.helpers.corpora import write_jsonl

_RUDE = ["you stupid idiot", "what a damn fool", "shut up you moron", "you ugly shit"]
_KIND = ["a fine sunny day", "the bridge is blue", "they read a book", "the river runs south"]


def spec_of(folder: Path) -> LinearSpec:
    rows = [{"text": f"{text} {number}", "label": label} for number in range(60)
            for label, texts in (("toxicity", _RUDE), ("clean", _KIND)) for text in texts]  # fmt: skip
    write_jsonl(folder / "rows.jsonl", rows)
    source = ExamplesSpec(source=SourceSpec(path=str(folder / "rows.jsonl")), label_key="label")
    return LinearSpec(name="linear", examples=(source,), languages=("en",), hash_bits=12, held_out=0.3)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    folder = tmp_path_factory.mktemp("linear")
    return run_stage(LINEAR, spec_of(folder), folder / "out", quiet=True)


@pytest.mark.parametrize(
    ("disguised", "plain"),
    [("sh1t happens", "shit happens"), ("f u c k you", "fuck you"), ("f-u-c-k", "fuck"), ("fuuuuck", "fuck"),
     ("ＦＵＣＫ", "fuck"), ("fu\u200bck", "fuck"), ("fυck", "fuck"), ("$hit a55hole", "shit asshole"),
     ("the 1st 3d h2o mp3 in 2014", "the 1st 3d h2o mp3 in 2014"), ("@user, 5$ a day", "@user, 5$ a day"),
     ("Привет мир", "привет мир")],
)  # fmt: skip
def test_disguises_are_undone_and_plain_text_stays(disguised: str, plain: str) -> None:
    assert plain_spelling(disguised) == plain


def test_the_scorer_sees_through_disguises(trained: Artifact) -> None:
    scorer = load_scorer(LinearScorerSpec(path=str(trained.path)))
    rude, hidden, spaced, kind = scorer.score(["you stupid idiot", "you stup1d 1diot", "you i d i o t", "a sunny day"])[
        :, 0
    ]
    assert scorer.attributes == ("toxicity",) and min(rude, hidden, spaced) > 0.8 > 0.2 > kind


def test_a_text_of_unknown_words_is_not_scored(trained: Artifact) -> None:
    scorer = load_scorer(LinearScorerSpec(path=str(trained.path)))
    assert not why_unscored("you idiot", scorer) and why_unscored("ты тупой идиот", scorer)


def test_the_card_states_worth_on_unseen_texts_and_languages(trained: Artifact) -> None:
    card = json.loads((trained.path / "card.json").read_text())
    assert card["trained_on"] + card["calibrated_on"] + card["held_out"] == 480
    worth = card["attributes"]["toxicity"]
    assert worth["auc"] > 0.95 and worth["brier"] < 0.1
    assert card_of(LinearScorerSpec(path=str(trained.path))).languages == ("en",)
    assert [row[0] for row in LINEAR.show(trained).tables[0].rows] == ["toxicity"]


def test_the_same_texts_give_the_same_bytes(trained: Artifact, tmp_path: Path) -> None:
    other = run_stage(LINEAR, spec_of(tmp_path), tmp_path / "out", quiet=True)
    for name in (WEIGHTS, MODEL):
        assert (other.path / name).read_bytes() == (trained.path / name).read_bytes()
    assert weights_of(LinearScorerSpec(path=str(other.path))) == weights_of(LinearScorerSpec(path=str(trained.path)))


def test_what_cannot_be_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no linear scorer.*`kind: linear` makes one"):
        load_scorer(LinearScorerSpec(path=str(tmp_path)))
    spec = spec_of(tmp_path)
    write_jsonl(tmp_path / "rows.jsonl", [{"text": f"a day {number}", "label": "clean"} for number in range(20)])
    with pytest.raises(InputError, match="some texts, and some without"):
        run_stage(LINEAR, spec, tmp_path / "out", quiet=True)


def test_every_source_weighs_the_same_and_in_it_texts_with_and_without_the_label() -> None:
    sources = np.array([0] * 6 + [1] * 2 + [2] * 4)
    target = np.array([1, 1, 1, 1, 1, 0, 1, 0, 0, 0, 0, 0], dtype=bool)  # source 2 has one label only
    weights = source_weights(target, sources)
    sums = [weights[(sources == source) & (target == label)].sum() for source, label in
            ((0, 1), (0, 0), (1, 1), (1, 0), (2, 0))]  # fmt: skip
    assert sums == pytest.approx([sums[0]] * 5) and weights.mean() == pytest.approx(1)


def test_a_way_of_writing_that_goes_with_a_source_is_less_learnt_as_the_label(tmp_path: Path) -> None:
    rows = {name: [{"text": f"{name} {'you stupid idiot' if number < rude else 'they read a book'} {number}",
                    "label": "toxicity" if number < rude else "clean"} for number in range(200)]
            for name, rude in (("tweets", 180), ("wiki", 20))}  # fmt: skip
    files = {**rows, "both": [*rows["tweets"], *rows["wiki"]]}
    for name, records in files.items():
        write_jsonl(tmp_path / f"{name}.jsonl", records)

    def gap(*names: str) -> float:
        examples = tuple(ExamplesSpec(source=SourceSpec(path=str(tmp_path / f"{name}.jsonl")), label_key="label")
                         for name in names)  # fmt: skip
        spec = LinearSpec(name="linear", examples=examples, hash_bits=12, held_out=0.3)
        artifact = run_stage(LINEAR, spec, tmp_path / "-".join(names), quiet=True)
        tweet, wiki = load_scorer(LinearScorerSpec(path=str(artifact.path))).score(["tweets", "wiki"])[:, 0]
        return float(tweet - wiki)

    assert gap("tweets", "wiki") < gap("both") - 0.1
