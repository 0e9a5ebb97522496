"""Cross-entropy: every token of a document counts once, whatever stands before it and however long it is.

Covers posttrain.cross_entropy, posttrain.token_nats, posttrain.activations and posttrain.methods.prompt.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from infra.errors import InputError
from posttrain.decoding.sampling import Sampling
from posttrain.fitted import Fitted
from posttrain.labelled import Labelled
from posttrain.methods.iti import Iti
from posttrain.methods.options import ItiArgs, PromptArgs
from posttrain.methods.prompt import Prompt
from posttrain.model import CausalModel
from posttrain.steered import bind

DOCUMENTS = ["thank you for the book", "you", "", "we walked to the river in the rain and then at home by noon"]


def prompted(model: CausalModel, text: str) -> Fitted:
    return Prompt.fit(model, None, PromptArgs(text=text), 0)


def reference(model: CausalModel, ids: list[int], first: int) -> float:
    """Sum of nats of tokens `first`… by Hugging Face's own forward, one document at a time."""
    with torch.inference_mode():
        log_p = model.network(input_ids=torch.tensor([ids])).logits[0].double().log_softmax(-1)
    return -sum(float(log_p[position - 1, ids[position]]) for position in range(first, len(ids)))


def test_every_token_after_the_start_token_is_a_target(model: CausalModel) -> None:
    measured = bind(model, None, 0).cross_entropy(DOCUMENTS)
    encoded = model.encode(DOCUMENTS)
    assert measured.tokens.tolist() == [len(ids) for ids in encoded]
    expected = [reference(model, [model.start, *ids], 1) for ids in encoded]
    np.testing.assert_allclose(measured.nats, expected, rtol=1e-5)
    assert measured.per_token == pytest.approx(sum(expected) / measured.tokens.sum(), rel=1e-5)


def test_documents_and_tokens_can_be_bounded(model: CausalModel) -> None:
    measured = bind(model, None, 0).cross_entropy(DOCUMENTS, max_tokens_per_document=3, max_documents=2)
    assert measured.tokens.tolist() == [3, 1]
    ids = model.encode(DOCUMENTS[:1])[0][:3]
    assert measured.nats[0] == pytest.approx(reference(model, [model.start, *ids], 1), rel=1e-5)


def test_a_prefix_conditions_and_is_not_counted(model: CausalModel) -> None:
    prefix = "a calm and kind reply"
    measured = bind(model, prompted(model, prefix), 1.0).cross_entropy(DOCUMENTS)
    fixed = [model.start, *model.encode([prefix])[0]]
    expected = [reference(model, fixed + ids, len(fixed)) for ids in model.encode(DOCUMENTS)]
    np.testing.assert_allclose(measured.nats, expected, rtol=1e-5)
    plain = bind(model, None, 0).cross_entropy(DOCUMENTS)
    assert (measured.tokens == plain.tokens).all()
    off = bind(model, prompted(model, prefix), 0.0).cross_entropy(DOCUMENTS)
    np.testing.assert_allclose(off.nats, plain.nats)


def test_a_document_longer_than_the_context_counts_every_token_once(model: CausalModel) -> None:
    document = " ".join(DOCUMENTS * 12)
    length = len(model.encode([document])[0])
    assert length > 2 * model.max_positions
    for fitted in (None, prompted(model, "a calm and kind reply")):
        measured = bind(model, fitted, 1.0).cross_entropy([document])
        assert measured.tokens.tolist() == [length]
        head = bind(model, fitted, 1.0).cross_entropy([document], max_tokens_per_document=40)
        assert measured.nats[0] > head.nats[0]
        assert np.isfinite(measured.nats).all()


def test_windows_cover_a_long_document_without_gap_or_overlap(model: CausalModel) -> None:
    """A model that gives every token the same probability: nats must be tokens x log(vocabulary) exactly."""
    weights = model.network.get_output_embeddings().weight.data
    before = weights.clone()
    try:
        weights.zero_()
        document = " ".join(DOCUMENTS * 9)
        measured = bind(model, None, 0).cross_entropy([document, "you"])
    finally:
        weights.copy_(before)
    np.testing.assert_allclose(measured.nats, measured.tokens * np.log(model.network.config.vocab_size), rtol=1e-6)


def test_iti_is_measured_from_position_0(model: CausalModel, labelled: Labelled) -> None:
    """`positions: last` and `all` differ in generation and not in cross-entropy."""
    last, everywhere = (
        bind(model, Iti.fit(model, labelled, ItiArgs(positions=positions), 0), 4.0) for positions in ("last", "all")
    )
    np.testing.assert_allclose(last.cross_entropy(DOCUMENTS).nats, everywhere.cross_entropy(DOCUMENTS).nats)
    sampling = Sampling(max_new_tokens=8, samples=4)
    assert last.generate(DOCUMENTS[:2], sampling) != everywhere.generate(DOCUMENTS[:2], sampling)


def test_a_prompt_stands_before_generated_text_and_not_in_it(model: CausalModel) -> None:
    sampling = Sampling(max_new_tokens=6, samples=2)
    generations = bind(model, prompted(model, "a calm and"), 1.0).generate([" kind"], sampling)
    assert generations == bind(model, None, 0).generate(["a calm and kind"], sampling)


def test_a_prompt_that_fills_the_context_is_refused(model: CausalModel) -> None:
    with pytest.raises(InputError, match="shorten it"):
        prompted(model, "a calm and kind reply " * 60)
