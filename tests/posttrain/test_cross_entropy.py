"""Cross-entropy: every token of a document and its end count once, whatever stands before and however long it is.

Covers posttrain.cross_entropy, posttrain.token_nats, posttrain.activations and posttrain.methods.prompt.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from infra.errors import InputError
from posttrain.decoding.sampling import Sampling
from posttrain.fitted import Fitted
from posttrain.labelled import Labelled
from posttrain.methods.iti import Iti
from posttrain.methods.options import ItiArgs, PromptArgs, SasaArgs
from posttrain.methods.prompt import Prompt
from posttrain.methods.sasa import Sasa
from posttrain.model import CausalModel
from posttrain.steered import bind
from posttrain.token_nats import token_nats

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
    encoded = [[*ids, model.end] for ids in model.encode(DOCUMENTS)]
    assert measured.tokens.tolist() == [len(ids) for ids in encoded]
    expected = [reference(model, [model.start, *ids], 1) for ids in encoded]
    np.testing.assert_allclose(measured.nats, expected, rtol=1e-5)
    assert measured.per_token == pytest.approx(sum(expected) / measured.tokens.sum(), rel=1e-5)


def test_documents_and_tokens_can_be_bounded(model: CausalModel) -> None:
    measured = bind(model, None, 0).cross_entropy(DOCUMENTS, max_tokens_per_document=3, max_documents=2)
    assert measured.tokens.tolist() == [3, 2]  # "you" and its end
    ids = model.encode(DOCUMENTS[:1])[0][:3]
    assert measured.nats[0] == pytest.approx(reference(model, [model.start, *ids], 1), rel=1e-5)


def test_a_document_that_is_cut_has_no_end_and_one_without_text_has_only_its_end(model: CausalModel) -> None:
    plain = bind(model, None, 0)
    (ids,) = model.encode(DOCUMENTS[:1])
    whole, cut, empty = (plain.cross_entropy([DOCUMENTS[0]]), plain.cross_entropy([DOCUMENTS[0]], len(ids)),
                         plain.cross_entropy([""]))  # fmt: skip
    assert (whole.tokens[0], cut.tokens[0], empty.tokens[0]) == (len(ids) + 1, len(ids), 1)
    end = reference(model, [model.start, *ids, model.end], len(ids) + 1)
    assert whole.nats[0] - cut.nats[0] == pytest.approx(end, rel=1e-4)


def test_bytes_are_those_of_the_text_that_is_measured(model: CausalModel) -> None:
    documents = ["thank you, naïve café", "book 😀", ""]
    plain = bind(model, None, 0)
    whole = plain.cross_entropy(documents)
    assert whole.utf8_bytes.tolist() == [len(document.encode()) for document in documents]
    assert whole.bits_per_byte == pytest.approx(whole.nats.sum() / np.log(2) / whole.utf8_bytes.sum())
    lengths = [len(ids) for ids in model.encode(documents)]
    bytes_of = {cut: plain.cross_entropy(documents[1:2], cut).utf8_bytes[0] for cut in range(1, lengths[1] + 1)}
    assert bytes_of[lengths[1]] == len("book 😀".encode())
    assert bytes_of[lengths[1] - 1] == len("book ")  # a part of a character is none


def test_the_end_of_a_document_is_exact_wherever_else_candidates_are_looked_at(
    model: CausalModel, labelled: Labelled
) -> None:
    """With two positions measured out of many, the end still costs what it costs with all of them."""
    fitted = Sasa.fit(model, labelled, SasaArgs(max_candidates=387, folds=2), 0)
    ids = torch.tensor([[model.start, *model.encode(DOCUMENTS[:1])[0], model.end]])
    position = torch.arange(ids.shape[1])[None]
    ends, totals = [], []
    for positions in (2, 100):
        args = fitted.args.model_copy(update={"cross_entropy_positions": positions})
        stack = bind(model, replace(fitted, args=args), 300.0).stack
        nats = token_nats(stack, ids, position > 0, position == ids.shape[1] - 1)
        ends.append(float(nats[0, -1]))
        totals.append(float(nats.sum()))
    plain = reference(model, ids[0].tolist(), ids.shape[1] - 1)
    assert ends[0] == pytest.approx(ends[1], rel=1e-6) and abs(ends[0] - plain) > 0.01
    assert totals[0] != pytest.approx(totals[1], rel=1e-4)


def test_a_prefix_conditions_and_is_not_counted(model: CausalModel) -> None:
    prefix = "a calm and kind reply"
    measured = bind(model, prompted(model, prefix), 1.0).cross_entropy(DOCUMENTS)
    fixed = [model.start, *model.encode([prefix])[0]]
    expected = [reference(model, [*fixed, *ids, model.end], len(fixed)) for ids in model.encode(DOCUMENTS)]
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
        assert measured.tokens.tolist() == [length + 1]
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
