"""Calibration: a rising curve, the error on texts held out, and no scorer but the one it was fitted to.

Covers curation.models.calibration, curation.training.calibration.fit, curation.training.calibration.spec and
curation.training.calibration.stage.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from curation.scorers import load_scorer, weights_of
from curation.scorers.options import ProfanitySpec
from curation.sources.spec import SourceSpec
from curation.training.calibration.fit import at_half, errors, fit_curve, gain_of, order_of
from curation.training.calibration.spec import CalibrationSpec, ReferenceSpec
from curation.training.calibration.stage import CALIBRATION
from infra.artifacts.artifact import Artifact
from infra.errors import DataError, InputError
from infra.stages.stage import run_stage
from tests.helpers import SHARED
from tests.helpers.corpora import write_jsonl

_RTP = SHARED / "data/rtp/rtp_5k_sample.jsonl.gz"
_WORDS = ("fine", "damn", "idiot", "day", "stupid", "house", "fool", "river", "shut", "moron")


def texts() -> list[str]:
    """Three hundred short texts, ruder and less rude ones."""
    rng = np.random.default_rng(0)
    return [" ".join(rng.choice(_WORDS, size=rng.integers(1, 7))) for _ in range(300)]


def spec_of(path: Path, key: str = "given.toxicity", attribute: str = "toxicity") -> CalibrationSpec:
    reference = ReferenceSpec(source=SourceSpec(path=str(path)), scores={attribute: key})
    return CalibrationSpec(name="calibration", scorer=ProfanitySpec(), references=(reference,))


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """Fitted to references that are the squares of the scorer's own scores; some texts have none."""
    folder = tmp_path_factory.mktemp("calibration")
    scores = load_scorer(ProfanitySpec()).score(texts())[:, 0].astype(float) ** 2
    rows = [{"text": text, "given": {"toxicity": None if number % 10 == 0 else score}}
            for number, (text, score) in enumerate(zip(texts(), scores.tolist(), strict=True))]  # fmt: skip
    return run_stage(CALIBRATION, spec_of(write_jsonl(folder / "a.jsonl", rows)), folder / "out", quiet=True)


def test_a_curve_never_falls_and_meets_the_references() -> None:
    rng = np.random.default_rng(0)
    scores = rng.random(2000)
    curve = fit_curve(scores, np.clip(scores**2 + rng.normal(0, 0.05, 2000), 0, 1))
    assert (np.diff(curve.y) >= 0).all()
    assert np.abs(curve.apply(np.array([0.2, 0.5, 0.9])) - [0.04, 0.25, 0.81]).max() < 0.05


def test_errors_are_those_of_the_textbook() -> None:
    distances = errors(np.array([0.05, 0.05, 0.95, 1.0]), np.array([0.0, 0.1, 0.95, 0.8]))
    assert distances.mae == pytest.approx(0.075) and distances.rmse == pytest.approx((0.045 / 4) ** 0.5)
    assert distances.ece == pytest.approx(0.05)  # the first two cancel out


def test_the_gain_comes_with_an_interval_that_knows_when_there_is_none() -> None:
    rng = np.random.default_rng(1)
    references, noise = rng.uniform(0.3, 0.7, 400), rng.uniform(-0.1, 0.1, (2, 400))
    nothing = gain_of(references + noise[0], references + noise[1], references, 0)
    much = gain_of(references + 0.3, references + noise[1], references, 0)
    assert nothing.low < 0 < nothing.high and 0 < much.low < much.mae < much.high


def test_what_half_means_has_an_interval_that_is_shorter_with_more_texts() -> None:
    rng = np.random.default_rng(2)
    widths = []
    for texts_given in (200, 3000):
        scores = rng.random(texts_given)
        references = np.clip(scores**2 + rng.normal(0, 0.1, texts_given), 0, 1)
        half = at_half(fit_curve(scores, references), scores, references, 0)
        assert half.low <= half.value <= half.high and half.low < 0.25 < half.high + 0.02
        widths.append(half.high - half.low)
    assert widths[1] < widths[0]


def test_the_order_is_told_where_there_is_one() -> None:
    scores = np.array([0.1, 0.2, 0.3, 0.4])
    assert order_of(scores, np.array([0.0, 0.6, 0.5, 0.9])) == (pytest.approx(0.8), 1.0)
    assert order_of(scores, np.array([0.1, 0.1, 0.1, 0.1])) == (None, None)


def test_a_calibrated_scorer_gives_scores_on_the_scale_of_the_reference(fitted: Artifact) -> None:
    record = json.loads((fitted.path / "calibration.json").read_text())["attributes"]["toxicity"]
    assert record["unscored"] == 30 and record["fitted_on"] + record["held_out"] == 270
    assert record["at_half"]["low"] <= record["at_half"]["value"] == pytest.approx(0.25, abs=0.06)
    assert record["spearman"] == pytest.approx(1.0)
    assert record["after"]["mae"] < 0.02 < record["before"]["mae"] and record["gain"]["low"] > 0
    plain, calibrated = ProfanitySpec(), ProfanitySpec(calibration=str(fitted.path))
    before, after = (load_scorer(spec).score(texts()) for spec in (plain, calibrated))
    np.testing.assert_allclose(after, before**2, atol=0.06)
    assert weights_of(calibrated) != weights_of(plain)
    assert load_scorer(calibrated).identity == f"{load_scorer(plain).identity}+{fitted.fingerprint[:12]}"


def test_another_scorer_than_the_one_it_was_fitted_to_is_refused(fitted: Artifact, tmp_path: Path) -> None:
    from curation.models.fasttext import FasttextTraining, train_fasttext
    from curation.scorers.options import FasttextScorerSpec

    model = train_fasttext([("a b", ["x"]), ("c d", ["toxicity"])] * 5, FasttextTraining(dim=2, bucket=10),
                           tmp_path / "model.bin")  # fmt: skip
    with pytest.raises(InputError, match=r"fitted to profanity@.* fit it again with this one \(fasttext\)"):
        weights_of(FasttextScorerSpec(model=str(model.path), calibration=str(fitted.path)))


@pytest.mark.parametrize(
    ("rows", "attribute", "message"),
    [
        ([{"text": "a", "given": {"toxicity": 1.5}}], "toxicity", r'"given.toxicity" is 1.5; .* a number in \[0, 1\]'),
        ([{"text": "a", "given": {"toxicity": 0.5}}], "insult", r'profanity has no "insult"; it has toxicity'),
        ([{"text": "a", "given": {"toxicity": 0.5}}] * 9, "toxicity", r"at least 50 of each are needed"),
    ],
)
def test_references_that_cannot_be_fitted_to_are_refused(
    tmp_path: Path, rows: list[dict], attribute: str, message: str
) -> None:
    spec = spec_of(write_jsonl(tmp_path / "a.jsonl", rows), attribute=attribute)
    with pytest.raises((DataError, InputError), match=message):
        run_stage(CALIBRATION, spec, tmp_path / "out", quiet=True)


@pytest.mark.skipif(not _RTP.exists(), reason="needs ../shared/data/rtp beside the checkout")
def test_it_brings_profanity_nearer_to_perspective_on_real_prompts(tmp_path: Path) -> None:
    reference = ReferenceSpec(source=SourceSpec(path=str(_RTP), text="prompt.text"),
                              scores={"toxicity": "prompt.toxicity"})  # fmt: skip
    spec = CalibrationSpec(name="rtp", scorer=ProfanitySpec(), references=(reference,))
    artifact = run_stage(CALIBRATION, spec, tmp_path / "out", quiet=True)
    record = json.loads((artifact.path / "calibration.json").read_text())["attributes"]["toxicity"]
    assert record["gain"]["low"] > 0 and record["after"]["ece"] < record["before"]["ece"]
