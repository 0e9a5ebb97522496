"""Number formats: each within its tolerance, the fastest sound one chosen, once, and sent along.

Covers curation.classify.number_formats, curation.classify.precision, curation.classify.engines,
curation.classify.onnx_export, curation.classify.scaled_rows and curation.classify.devices.
"""

from __future__ import annotations

import copy
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from curation.classify import precision
from curation.classify.number_formats import TOLERANCE
from curation.classify.onnx_export import can_export
from curation.classify.precision import ChosenPrecision, Measured, choose, fastest
from curation.classify.scaled_rows import scale_rows
from curation.scorers import load_scorer, weights_of
from curation.scorers.options import EnsembleSpec, ProfanitySpec, TransformersSpec
from curation.scorers.transformers import Transformers
from curation.scoring.resolve import resolved
from infra.errors import UnavailableError
from tests.helpers.classifiers import save_classifier
from tests.helpers.corpora import load

_TEXTS = [f"{'you ' * (number % 7)}idiot {'fine day ' * (number % 11)}" for number in range(30)]


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> TransformersSpec:
    """Calmer than other random models: weights so wide that scores jump say nothing about rounding."""
    folder = save_classifier(tmp_path_factory.mktemp("models") / "calm", initializer_range=0.2)
    return TransformersSpec(model="org/tiny", folder=str(folder), batch_tokens=128, device="cpu")


_NEEDS_ONNX = pytest.mark.skipif(not can_export(), reason="needs the extra onnx")


@pytest.mark.parametrize("chosen", ["bfloat16", "int8", pytest.param("onnx-int8", marks=_NEEDS_ONNX)])
def test_every_precision_stays_within_its_tolerance_whatever_the_batch(
    classifier: TransformersSpec, chosen: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HORMESIS_CACHE", str(tmp_path))
    exact = load_scorer(classifier.model_copy(update={"precision": "float32"})).score(_TEXTS)
    scorer = load_scorer(classifier.model_copy(update={"precision": chosen}))
    together = scorer.score(_TEXTS)
    alone = np.concatenate([scorer.score([text]) for text in _TEXTS[:6]])
    assert np.ptp(exact) > 2 * TOLERANCE[chosen]
    assert 0 < np.abs(together - exact).max() <= TOLERANCE[chosen]
    assert np.abs(together[:6] - alone).max() <= TOLERANCE[chosen]


def test_a_token_with_enormous_inputs_does_not_coarsen_the_others() -> None:
    torch.manual_seed(0)
    layer, rows = torch.nn.Linear(64, 8), torch.randn(5, 64)
    exact, plain = layer(rows), torch.nn.Sequential(copy.deepcopy(layer))
    scaled = scale_rows(torch.nn.Sequential(layer))
    torch.testing.assert_close(scaled(rows), exact)
    assert not scaled(torch.zeros(1, 64)).isnan().any()
    together = torch.cat([rows, 1000 * torch.randn(1, 64)])
    off = [(_in_8_bits(model)(together)[:5] - exact).abs().max() for model in (scaled, plain)]
    assert off[0] < 0.05 and off[1] > 10 * off[0]


def _in_8_bits(model: torch.nn.Module) -> torch.nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.ao.quantization.quantize_dynamic(model, {torch.nn.Linear}, dtype=torch.qint8)


def test_the_fastest_sound_format_is_taken_and_float32_where_little_is_gained() -> None:
    plain = Measured(100, 0)
    assert fastest({"float32": plain, "int8": Measured(200, 0.01), "bfloat16": Measured(150, 0.001)}) == "int8"
    assert fastest({"float32": plain, "int8": Measured(900, 0.2), "bfloat16": Measured(150, 0.001)}) == "bfloat16"
    assert fastest({"float32": plain, "int8": Measured(900, float("nan"))}) == "float32"
    assert fastest({"float32": plain, "bfloat16": Measured(105, 0.001)}) == "float32"


def test_a_machine_is_measured_once_for_each_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HORMESIS_CACHE", str(tmp_path))
    asked = []

    def measure(model: object, scores: object, tokenizer: object, key: str, *_: object) -> dict[str, Measured]:
        asked.append(key)
        return {"float32": Measured(100, 0), "int8": Measured(200, 0.01)}

    monkeypatch.setattr(precision, "_measure", measure)
    choices = [choose(None, None, None, key, 1) for key in ("a", "a", "b")]  # type: ignore[arg-type]
    assert asked == ["a", "b"] and choices[0] == choices[1] and isinstance(choices[1], ChosenPrecision)


def test_auto_is_measured_on_the_machine_itself(
    classifier: TransformersSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HORMESIS_CACHE", str(tmp_path))
    monkeypatch.setattr(precision, "can_export", lambda: False)
    chosen = resolved(classifier).precision
    assert chosen in ("float32", "bfloat16", "int8")
    (file,) = (tmp_path / "precision").iterdir()
    record = precision._read(file)
    assert set(record.measured) == {"float32", "bfloat16", "int8"} and record.precision == chosen
    assert record.measured["float32"].deviation == 0 < record.measured["float32"].tokens_per_second


def test_every_scorer_of_a_curation_is_made_definite_where_the_run_starts(
    tmp_path: Path, classifier: TransformersSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Transformers, "_fastest", classmethod(lambda cls, spec, device: "int8"))
    member = {"name": "transformers", "model": "org/tiny", "folder": classifier.folder}
    scorers = {"name": "ensemble", "scorers": [member, {"name": "profanity"}]}
    steps = [{"step": "score", "scorer": member, "prefix": "a_"}, {"step": "score", "scorer": scorers}]
    spec = load(tmp_path, {"it": {"sources": [{"path": "a.txt"}]}}, steps=steps)
    definite = resolved(spec)
    first, second = (step.scorer for step in definite.steps)
    assert (first.precision, first.device) == ("int8", "cpu")
    assert isinstance(second, EnsembleSpec) and second.scorers[0].precision == "int8"
    assert second.scorers[1] == ProfanitySpec()
    assert resolved(definite) == definite and definite.corpora is spec.corpora


def test_the_precision_belongs_to_a_scorers_fingerprint(classifier: TransformersSpec) -> None:
    marks = {weights_of(classifier.model_copy(update={"precision": precision})) for precision in TOLERANCE}
    assert len(marks) == len(TOLERANCE)


def test_a_gpu_that_is_not_there_is_said(classifier: TransformersSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(UnavailableError, match=r"device is cuda, and this machine has no GPU; say device: cpu"):
        load_scorer(classifier.model_copy(update={"device": "cuda"}))


def test_without_the_packages_onnx_is_refused_with_advice(
    classifier: TransformersSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HORMESIS_CACHE", str(tmp_path))
    monkeypatch.setattr("curation.classify.onnx_export.can_export", lambda: False)
    with pytest.raises(UnavailableError, match=r"pip install 'hormesis\[onnx\]', or say precision: float32"):
        load_scorer(classifier.model_copy(update={"precision": "onnx"}))
