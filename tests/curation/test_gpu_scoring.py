"""Scoring on a GPU, held without one: on PyTorch's device `meta`, which refuses to mix devices and has no numbers to
give, the real model runs through the real path up to the copy back; on the processor the same path gives real scores.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from made_models import save_classifier

from curation.classify.ahead import DEPTH, Ahead
from curation.classify.batch_size import ON_CPU, SIZES, fastest_batch
from curation.classify.engines import TorchEngine
from curation.classify.first_token import read_first_token_only
from curation.classify.windows import Cutter, buckets, cut, padded
from curation.scorers import load_scorer
from curation.scorers.base_transformer import TransformerScorer
from curation.scorers.transformers import TransformersSpec
from infra.errors import ScoringError

_TEXTS = [f"{'you ' * (number % 7)}idiot {'fine day ' * (number % 31)}" for number in range(60)]


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> TransformersSpec:
    folder = save_classifier(tmp_path_factory.mktemp("models") / "calm", initializer_range=0.2)
    return TransformersSpec(model="org/tiny", folder=str(folder), precision="float32", device="cpu", batch_tokens=128)


def moved(spec: TransformersSpec, device: str, engine: type[TorchEngine] = TorchEngine) -> TransformerScorer:
    """The scorer with its model on `device`, at work as on a GPU."""
    scorer = load_scorer(spec)
    assert isinstance(scorer, TransformerScorer)
    model = read_first_token_only(scorer._parts.make_model().eval())
    scorer._engine = engine(model, spec.precision, device)
    cutter = Cutter(scorer.tokenizer, scorer.window, scorer._overlap)
    scorer._ahead = Ahead(cutter, scorer._engine, scorer.probabilities, scorer._pad, spec.batch_tokens)
    return scorer


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_on_another_device_nothing_is_mixed_and_nothing_asked_before_the_copy_back(
    classifier: TransformersSpec, precision: str
) -> None:
    scorer = moved(classifier.model_copy(update={"precision": precision}), "meta")
    windows = cut(scorer.tokenizer, _TEXTS, scorer.window, 4)
    for rows in buckets(list(map(len, windows.ids)), 128):
        logits = scorer._engine.launch(*padded([windows.ids[row] for row in rows], 0))
        scores = scorer.probabilities(logits)
        assert scores.device.type == "meta" and scores.shape == (len(rows), len(scorer.attributes))
    with pytest.raises(ScoringError, match="Cannot copy out of meta tensor"):
        scorer.score(_TEXTS)
    with pytest.raises(ScoringError, match="Cannot copy out of meta tensor"):
        list(scorer.score_all([_TEXTS]))
