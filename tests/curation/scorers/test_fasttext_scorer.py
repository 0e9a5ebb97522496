"""The scorer `fasttext` and the stage that trains one; the scorer `ensemble`.

Covers curation.scorers.fasttext, curation.scorers.ensemble, curation.training.fasttext.spec and
curation.training.fasttext.stage.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from curation.models.fasttext import FasttextTraining, train_fasttext
from curation.scorers import card_of, load_scorer, weights_of
from curation.scorers.options import EnsembleSpec, FasttextScorerSpec, ProfanitySpec
from curation.training.fasttext.spec import FasttextStageSpec
from curation.training.fasttext.stage import FASTTEXT
from infra.artifacts.artifact import Artifact
from infra.config.spec import load_spec
from infra.errors import ConfigError, DataError, InputError
from infra.stages.stage import run_stage
from tests.helpers.corpora import write_jsonl

_RUDE = ["you stupid idiot", "what a damn fool", "shut up you moron", "you ugly idiot"]
_KIND = ["a fine sunny day", "the bridge is blue", "they read a book", "the river runs south"]


def write_examples(folder: Path) -> None:
    rows = [{"text": f"{text} {number}", "label": label} for number in range(60)
            for label, texts in (("1", _RUDE), ("0", _KIND)) for text in texts]  # fmt: skip
    write_jsonl(folder / "rows.jsonl", rows)


def training(folder: Path, text: str = "label_key: label, names: {'1': toxic, '0': clean}") -> FasttextStageSpec:
    """A spec by way of its YAML file."""
    (folder / "train.yaml").write_text(
        f"kind: fasttext\nexamples: [{{source: {{path: rows.jsonl}}, {text}}}]\n"
        "training: {dim: 4, bucket: 1000, epoch: 20}\nheld_out: 0.25\n"
    )
    _, spec = load_spec(folder / "train.yaml", {"fasttext": lambda: FasttextStageSpec})
    assert isinstance(spec, FasttextStageSpec)
    return spec


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    folder = tmp_path_factory.mktemp("fasttext")
    write_examples(folder)
    return run_stage(FASTTEXT, training(folder), folder / "out", quiet=True)


@pytest.fixture(scope="module")
def spec(trained: Artifact) -> FasttextScorerSpec:
    return FasttextScorerSpec(model=str(trained.path), labels={"toxicity": "toxic"}, languages=("en",))


def test_training_states_what_the_classifier_is_worth_on_texts_it_has_not_seen(trained: Artifact) -> None:
    card = json.loads((trained.path / "card.json").read_text())
    assert card["trained_on"] + card["held_out"] == 480 and 60 < card["held_out"] < 180
    assert card["labels"]["toxic"]["auc"] > 0.95 and card["labels"]["toxic"]["f1"] > 0.9
    assert {row[0] for row in FASTTEXT.show(trained).tables[0].rows} == {"toxic", "clean"}


def test_a_text_without_a_label_stops_the_training(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "rows.jsonl", [{"text": "a", "label": "1"}, {"text": "b", "label": None}])
    with pytest.raises(DataError, match=r'^rows.jsonl:2: the label key "label" is null; allowed: a word'):
        run_stage(FASTTEXT, training(tmp_path), tmp_path / "out", quiet=True)
    with pytest.raises(ConfigError, match=r"train.yaml:2: examples\[0\].*give label .* or label_key"):
        training(tmp_path, "label: a, label_key: b")


def test_the_scorer_gives_the_labels_that_it_is_asked_for(spec: FasttextScorerSpec, trained: Artifact) -> None:
    scorer = load_scorer(spec)
    assert scorer.attributes == ("toxicity",)
    table = scorer.score(["you stupid idiot", "a fine sunny day", ""])
    assert table[0, 0] > 0.9 > 0.1 > table[1, 0]
    both = load_scorer(FasttextScorerSpec(model=str(trained.path / "model.bin")))
    assert set(both.attributes) == {"toxic", "clean"}
    summed = load_scorer(spec.model_copy(update={"labels": {"any": ("toxic", "clean")}}))
    np.testing.assert_allclose(summed.score(["you idiot"]), 1, atol=1e-3)


def test_the_meaning_of_the_labels_belongs_to_the_fingerprint(spec: FasttextScorerSpec) -> None:
    assert weights_of(spec) != weights_of(spec.model_copy(update={"labels": {"toxicity": "clean"}}))
    assert card_of(spec).languages == ("en",) and "not meaning" in card_of(spec).blind_spots


def test_an_ensemble_is_the_weighted_mean_or_the_highest_of_its_scorers(spec: FasttextScorerSpec) -> None:
    texts = ["you stupid idiot", "a fine sunny day", "damn it"]
    members = (spec, ProfanitySpec())
    by_member = np.stack([load_scorer(member).score(texts) for member in members])
    mean = load_scorer(EnsembleSpec(scorers=members, weights=(3, 1)))
    np.testing.assert_allclose(mean.score(texts), (3 * by_member[0] + by_member[1]) / 4, atol=1e-6)
    np.testing.assert_allclose(
        load_scorer(EnsembleSpec(scorers=members, combine="max")).score(texts), by_member.max(axis=0)
    )
    assert mean.attributes == ("toxicity",) and mean.identity.startswith("mean(fasttext-model@")
    assert card_of(EnsembleSpec(scorers=members)).languages == ("en",)
    assert weights_of(EnsembleSpec(scorers=members)) != weights_of(EnsembleSpec(scorers=members, combine="max"))


def test_an_ensemble_that_cannot_be_is_refused(spec: FasttextScorerSpec) -> None:
    with pytest.raises(ValueError, match="1 of them for 2 scorers"):
        EnsembleSpec(scorers=(spec, ProfanitySpec()), weights=(1,))
    other = spec.model_copy(update={"labels": {"insult": "toxic"}})
    with pytest.raises(InputError, match=r"needs an attribute that all its scorers have: .* has insult; .* toxicity"):
        load_scorer(EnsembleSpec(scorers=(other, ProfanitySpec())))


def test_the_order_of_the_texts_makes_no_difference_to_what_is_learnt(tmp_path: Path) -> None:
    rows = [(f"{text} {number}", [label]) for label, texts in (("toxic", _RUDE), ("clean", _KIND))
            for number in range(100) for text in texts]  # fmt: skip
    options = FasttextTraining(dim=4, bucket=1000, epoch=1, lr=1.0)
    model = train_fasttext(rows, options, tmp_path / "model.bin")
    toxic = model.column_of("toxic")
    rude, kind = (model.probabilities(texts)[:, toxic] for texts in (_RUDE, _KIND))
    assert rude.min() > 0.5 > kind.max()
    repeated = train_fasttext(rows, options, tmp_path / "again.bin")
    assert repeated.path.read_bytes() == model.path.read_bytes()
