"""Scoring on a GPU, held without one: on PyTorch's device `meta`, which refuses to mix devices and has no numbers to
give, the real model runs through the real path up to the copy back; on the processor the same path gives real scores.

Covers curation.classify.ahead, curation.classify.batch_size and curation.scoring.documents.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import numpy as np
import pytest
import torch

from curation.classify.ahead import DEPTH, Ahead
from curation.classify.batch_size import ON_CPU, fastest_batch
from curation.classify.engines import TorchEngine
from curation.classify.first_token import read_first_token_only
from curation.classify.precision import ChosenPrecision
from curation.classify.windows import Cutter, buckets, cut, padded
from curation.scorers import base_transformer, load_scorer, weights_of
from curation.scorers.base_transformer import TransformerScorer
from curation.scorers.options import TransformersSpec
from curation.scoring.resolve import resolved
from infra.errors import ScoringError
from tests.helpers.classifiers import save_classifier

_TEXTS = [f"{'you ' * (number % 7)}idiot {'fine day ' * (number % 31)}" for number in range(60)]


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> TransformersSpec:
    folder = save_classifier(tmp_path_factory.mktemp("models") / "calm", initializer_range=0.2)
    return TransformersSpec(model="org/tiny", folder=str(folder), precision="float32", device="cpu", batch_tokens=128)


def moved(spec: TransformersSpec, device: str, engine: type[TorchEngine] = TorchEngine) -> TransformerScorer:
    """The scorer with its model on `device`, at work as on a GPU."""
    scorer = load_scorer(spec)
    assert isinstance(scorer, TransformerScorer)
    model = read_first_token_only(scorer._model_files.make_model().eval())
    scorer._engine = engine(model, spec.precision, device)
    cutter = Cutter(scorer.tokenizer, scorer.window, scorer._overlap)
    scorer._ahead = Ahead(cutter, scorer._engine, scorer.probabilities, scorer._pad, spec.batch_tokens)
    return scorer


@pytest.mark.parametrize("number_format", ["float32", "bfloat16"])
def test_on_another_device_nothing_is_mixed_and_nothing_asked_before_the_copy_back(
    classifier: TransformersSpec, number_format: str
) -> None:
    scorer = moved(classifier.model_copy(update={"precision": number_format}), "meta")
    windows = cut(scorer.tokenizer, _TEXTS, scorer.window, 4)
    for rows in buckets(list(map(len, windows.ids)), 128):
        logits = scorer._engine.launch(*padded([windows.ids[row] for row in rows], 0))
        scores = scorer.probabilities(logits)
        assert scores.device.type == "meta" and scores.shape == (len(rows), len(scorer.attributes))
    with pytest.raises(ScoringError, match="Cannot copy out of meta tensor"):
        scorer.score(_TEXTS)
    with pytest.raises(ScoringError, match="Cannot copy out of meta tensor"):
        list(scorer.score_all([_TEXTS]))


@pytest.mark.gpu
def test_a_gpu_gives_the_scores_of_the_processor(classifier: TransformersSpec) -> None:
    on_gpu = load_scorer(classifier.model_copy(update={"device": "cuda"}))
    np.testing.assert_allclose(on_gpu.score(_TEXTS), load_scorer(classifier).score(_TEXTS), atol=1e-4)


class Small(TorchEngine):
    """An engine on a device whose memory holds 40 tokens."""

    largest = 0

    def launch(self, ids: np.ndarray, mask: np.ndarray) -> torch.Tensor:
        if ids.size > 40 and len(ids) > 1:
            raise torch.OutOfMemoryError("out of memory")
        Small.largest = max(Small.largest, ids.size)
        return super().launch(ids, mask)


def test_scores_are_those_of_the_plain_way_whatever_the_chunks_and_in_their_order(classifier: TransformersSpec) -> None:
    plain, scorer = load_scorer(classifier), moved(classifier, "cpu")
    expected = plain.score(_TEXTS)
    assert np.ptp(expected, axis=0).min() > 0.05
    np.testing.assert_allclose(scorer.score(_TEXTS), expected, atol=1e-5)
    chunks = [_TEXTS[start : start + 7] for start in range(0, len(_TEXTS), 7)]
    np.testing.assert_allclose(np.concatenate(list(scorer.score_all(chunks))), expected, atol=1e-5)


def test_chunks_are_begun_ahead_of_those_that_come_out_and_no_more_than_that(classifier: TransformersSpec) -> None:
    begun: list[int] = []

    def chunks() -> Iterator[list[str]]:
        for number, text in enumerate(_TEXTS):
            begun.append(number)
            yield [text]

    results = moved(classifier, "cpu").score_all(chunks())
    for number, _ in enumerate(islice(results, 5)):
        assert len(begun) == number + DEPTH


def test_a_batch_that_the_memory_does_not_hold_is_halved_and_nothing_is_lost(classifier: TransformersSpec) -> None:
    scorer = moved(classifier, "cpu", Small)
    np.testing.assert_allclose(scorer.score(_TEXTS), load_scorer(classifier).score(_TEXTS), atol=1e-5)
    assert 0 < scorer.batch_tokens <= 64
    scorer.score(_TEXTS)
    assert Small.largest <= max(40, scorer.window)


def test_the_cutter_of_many_texts_gives_the_windows_of_the_plain_one(classifier: TransformersSpec) -> None:
    tokenizer = load_scorer(classifier).tokenizer
    texts = [*_TEXTS, "", _TEXTS[0], "fine day " * 100]
    assert Cutter(tokenizer, 16, 4)(texts) == cut(tokenizer, texts, 16, 4)


@pytest.mark.parametrize(
    ("speeds", "holds", "expected"),
    [
        ({2048: 16, 4096: 33, 8192: 68, 16384: 120, 32768: 211, 65536: 330, 131072: 410, 262144: 415}, 1 << 20, 131072),
        ({2048: 16, 4096: 33, 8192: 68, 16384: 120, 32768: 211}, 32768, 32768),
        ({2048: 100, 4096: 101}, 1 << 20, 2048),
        ({2048: 50, 4096: 90, 8192: 80}, 1 << 20, 4096),
        ({2048: 5}, 0, 2048),
    ],
)
def test_the_smallest_batch_near_the_fastest_that_fits_is_taken(
    speeds: dict[int, float], holds: int, expected: int
) -> None:
    size, tried = fastest_batch(lambda tokens: tokens <= holds, speeds.__getitem__)
    assert size == expected and tried == {tokens: speeds[tokens] for tokens in tried}


def test_on_a_processor_auto_is_what_it_always_was_and_nothing_is_measured(
    classifier: TransformersSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base_transformer, "choose_batch", lambda *_: pytest.fail("measured"))
    auto = classifier.model_copy(update={"batch_tokens": "auto"})
    assert resolved(auto).batch_tokens == ON_CPU == 2048
    assert weights_of(auto) == weights_of(classifier.model_copy(update={"batch_tokens": 2048}))
    assert weights_of(auto) != weights_of(classifier)


def test_on_a_gpu_format_and_batch_are_measured_there_and_the_batch_is_no_part_of_the_fingerprint(
    classifier: TransformersSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    monkeypatch.setattr(base_transformer, "has_gpu", lambda: True)
    monkeypatch.setattr(
        base_transformer, "choose", lambda *given: asked.append(given[-1]) or ChosenPrecision("bfloat16", {})
    )
    monkeypatch.setattr(base_transformer, "choose_batch", lambda _, key, number_format: 65536)
    settled = resolved(TransformersSpec(model=classifier.model, folder=classifier.folder))
    assert (settled.device, settled.precision, settled.batch_tokens, asked) == ("cuda", "bfloat16", 65536, ["cuda"])
    assert weights_of(settled) == weights_of(settled.model_copy(update={"batch_tokens": 131072}))
