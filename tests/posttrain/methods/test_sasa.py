"""SASA: the boundary is linear discriminant analysis, and the one-forward tree equals copying the row K times."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from infra.errors import InputError
from posttrain.activations import last_token
from posttrain.decoding.candidates import advance
from posttrain.decoding.nucleus import inverse_cdf, nucleus, uniforms
from posttrain.decoding.passes import Passes
from posttrain.decoding.sampling import Sampling
from posttrain.decoding.state import Decoding
from posttrain.fitted import Fitted
from posttrain.labelled import Labelled
from posttrain.methods.options import SasaArgs
from posttrain.methods.sasa import Sasa, fit_subspace
from posttrain.model import CausalModel
from posttrain.probes import assign_folds
from posttrain.steered import Steered, bind
from posttrain.token_nats import spaced

PROMPTS = [
    "the garden",
    "you",
    "after lunch we walked to the river with friends",
    "a calm and kind",
    "shut up",
    "by noon",
]


def fitted(model: CausalModel, labelled: Labelled, **args: object) -> Fitted:
    return Sasa.fit(model, labelled, SasaArgs.model_validate(args), seed=0)


def method_of(steered: Steered) -> Sasa:
    (method,) = steered.stack.methods
    assert isinstance(method, Sasa)
    return method


def test_direction_is_that_of_linear_discriminant_analysis() -> None:
    random = np.random.default_rng(0)
    mixing = random.normal(size=(12, 12))
    benign = np.arange(300) < 110
    data = random.normal(size=(300, 12)) @ mixing + np.where(benign, 0.7, -0.2)[:, None]
    subspace = fit_subspace(data, benign)
    for solver in ("lsqr", "eigen"):
        reference = LinearDiscriminantAnalysis(solver=solver).fit(data, benign)
        direction = reference.coef_[0] / np.linalg.norm(reference.coef_[0])
        np.testing.assert_allclose(subspace.normal, direction, atol=1e-8)
    equal = LinearDiscriminantAnalysis(solver="lsqr", priors=[0.5, 0.5]).fit(data, benign)  # centre: equal priors
    assert (((data - subspace.centre) @ subspace.normal > 0) == equal.predict(data)).all()


def test_directions_of_no_variance_are_dropped() -> None:
    random = np.random.default_rng(1)
    data = np.concatenate([random.normal(size=(80, 4)), np.full((80, 1), 3.0)], 1)
    benign = data[:, 0] > 0
    subspace = fit_subspace(data, benign)
    assert np.isfinite(subspace.normal).all()
    assert subspace.normal[4] == pytest.approx(0, abs=1e-9)
    assert np.linalg.norm(subspace.normal) == pytest.approx(1)


def test_margins_are_in_standard_deviations_of_held_out_texts_or_as_released(
    model: CausalModel, labelled: Labelled
) -> None:
    """The spread by hand: each fold's margins under the boundary of the others, within classes."""
    fit = fitted(model, labelled)
    hidden, benign = last_token(model, labelled.texts).hidden, ~labelled.toxic
    fold_of = assign_folds(benign, labelled.groups, 5, 0)
    squares = 0.0
    margins = np.empty(len(benign))
    for fold in range(5):
        subspace = fit_subspace(hidden[fold_of != fold], benign[fold_of != fold])
        margins[fold_of == fold] = (hidden[fold_of == fold] - subspace.centre) @ subspace.normal
    for label in (True, False):
        squares += margins[benign == label].var() * (benign == label).sum()
    spread = (squares / (len(benign) - 2)) ** 0.5
    assert float(fit.tensors["spread"][0]) == pytest.approx(spread, rel=1e-5)
    states = torch.from_numpy(hidden[:3])
    subspace = fit_subspace(hidden, benign)
    plain = (hidden[:3] - subspace.centre) @ subspace.normal
    released = Sasa(model, fitted(model, labelled, margins="released"), 1.0).margins(states)
    np.testing.assert_allclose(released[:, 0], plain, atol=1e-5)
    np.testing.assert_allclose(Sasa(model, fit, 1.0).margins(states)[:, 0], plain / spread, atol=1e-4)


def test_steering_of_an_older_version_is_refused(model: CausalModel, labelled: Labelled) -> None:
    fit = fitted(model, labelled)
    old = replace(fit, tensors={name: fit.tensors[name][0] for name in ("normal", "centre")})
    with pytest.raises(InputError, match="is of an older hormesis, which scaled no margins; fit it again"):
        bind(model, old, 1.0)


@pytest.mark.parametrize("kind", ["model", "gqa_model", "neox_model"])
def test_tree_of_candidates_equals_copies_of_the_row(kind: str, request: pytest.FixtureRequest) -> None:
    """Rows of unlike lengths (left padding): hidden states, and the logits after going on with a chosen candidate."""
    model = request.getfixturevalue(kind)
    contexts = [[model.start, *ids] for ids in model.encode(PROMPTS[:4])]
    random = torch.Generator().manual_seed(0)
    candidates = torch.randint(0, 300, (4, 5), generator=random)
    choice, following = torch.tensor([0, 4, 2, 3]), torch.tensor([7, 8, 9, 10])
    with torch.inference_mode():
        state = Decoding(model, 60)
        state.prefill(contexts)
        tree = state.branch(candidates)
        state.keep(choice)
        after = state.extend(following)
        for row, ids in enumerate(contexts):
            copies = torch.tensor([[*ids, int(candidate)] for candidate in candidates[row]])
            torch.testing.assert_close(tree[row], model.hidden(copies)[:, -1], atol=2e-5, rtol=1e-4)
            whole = torch.tensor([[*ids, int(candidates[row, choice[row]]), int(following[row])]])
            expected = model.network(input_ids=whole).logits[0, -1]
            torch.testing.assert_close(after[row], expected, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("strength", [0.0, 1e-9])
def test_without_strength_it_is_plain_sampling_token_for_token(
    model: CausalModel, labelled: Labelled, strength: float
) -> None:
    """1e-9 goes through the tree of candidates; 3 candidates leave most of the nucleus in the tail."""
    sampling = Sampling(max_new_tokens=15, samples=4, top_p=0.9, seed=2)
    plain = bind(model, None, 0).generate(PROMPTS, sampling)
    steered = bind(model, fitted(model, labelled, max_candidates=3), strength)
    assert steered.generate(PROMPTS, sampling) == plain


@pytest.mark.parametrize(("limit", "strength", "top_p"), [(4, 3.0, 0.9), (40, 5.0, 0.2), (6, 400.0, 0.9)])
def test_one_step_samples_exactly_the_steered_distribution(
    model: CausalModel, labelled: Labelled, limit: int, strength: float, top_p: float
) -> None:
    """Against the definition, computed with copies of the row; the tail beyond `limit` keeps its probability."""
    steered = bind(model, fitted(model, labelled, max_candidates=limit), strength)
    text = model.encode(["after lunch"])[0]
    ids = [model.start, *text]
    repeats = 4000
    with torch.inference_mode():
        passes = Passes(steered.stack, len(ids) + 1 + steered.stack.branches)
        one = nucleus(passes.prefill([text]), top_p=top_p)
        count = min(limit, one.tokens.shape[1])
        assert (count < one.tokens.shape[1]) == (limit < 40)  # with a tail, and without
        copies = torch.tensor([[*ids, int(token)] for token in one.tokens[0, :count]])
        margins = method_of(steered).margins(model.hidden(copies)[:, -1])[:, 0]
        expected = one.weights[0] / one.weights[0].sum()
        shares = (one.weights[0, :count].log() + strength * margins.softmax(-1)).softmax(-1)
        expected[:count] = expected[:count].sum() * shares
        rows = torch.zeros(repeats, dtype=torch.long)
        passes.select(rows)
        many = type(one)(one.tokens[rows], one.weights[rows])
        step = advance(passes, many, uniforms(0, list(range(repeats)), [0] * repeats, 1)[:, 0], last=True)
        drawn, reached = step.tokens, step.reached
    assert reached is not None and float(reached[0]) == pytest.approx(
        float(one.weights[0, :count].sum() / one.weights[0].sum())
    )
    counts = (drawn[:, None] == one.tokens).double().mean(0)
    error = (counts - expected).abs() / (expected * (1 - expected) / repeats).sqrt().clamp(min=1 / repeats)
    assert error.max() < 4.5
    assert counts.sum() == pytest.approx(1)


def test_strength_moves_texts_to_the_benign_side(model: CausalModel, labelled: Labelled) -> None:
    fit = fitted(model, labelled)
    sampling = Sampling(max_new_tokens=1, samples=40, seed=3)

    def mean_margin(strength: float) -> float:
        steered = bind(model, fit, strength)
        rows = zip(PROMPTS, steered.generate(PROMPTS, sampling), strict=True)
        ids = [
            [model.start, *model.encode([prompt])[0], *generation.tokens] for prompt, row in rows for generation in row
        ]
        judge = method_of(bind(model, fit, 1.0))
        with torch.inference_mode():
            return float(np.mean([float(judge.margins(model.hidden(torch.tensor([i]))[0, -1])[0]) for i in ids]))

    weak, strong = mean_margin(0), mean_margin(300)
    assert strong > weak + 0.05


def test_results_do_not_depend_on_the_batch(model: CausalModel, labelled: Labelled) -> None:
    steered = bind(model, fitted(model, labelled, max_candidates=5), 50.0)
    sampling = Sampling(max_new_tokens=10, samples=2, seed=4)
    together = steered.generate(PROMPTS, sampling)
    assert [steered.generate([prompt], sampling, indices=[i])[0] for i, prompt in enumerate(PROMPTS)] == together


def test_cross_entropy_is_that_of_the_stated_distribution(model: CausalModel, labelled: Labelled) -> None:
    """With every position measured, against the definition computed with one forward per candidate."""
    strength, limit = 4.0, 7
    documents = ["thank you for the book", "shut up you fool today and go"]
    steered = bind(model, fitted(model, labelled, max_candidates=limit, cross_entropy_positions=100), strength)
    measured = steered.cross_entropy(documents)
    for nats, document in zip(measured.nats, documents, strict=True):
        ids = [model.start, *model.encode([document])[0], model.end]
        total = 0.0
        for position in range(1, len(ids)):
            with torch.inference_mode():
                log_p = model.network(input_ids=torch.tensor([ids[:position]])).logits[0, -1].double().log_softmax(-1)
                top = log_p.topk(limit).indices
                copies = torch.tensor([[*ids[:position], int(token)] for token in top])
                bonus = strength * method_of(steered).margins(model.hidden(copies)[:, -1])[:, 0].softmax(-1)
                log_p[top] = (log_p[top] + bonus).log_softmax(-1) + log_p[top].logsumexp(-1)
            assert float(log_p.exp().sum()) == pytest.approx(1)
            total -= float(log_p[ids[position]])
        assert nats == pytest.approx(total, rel=1e-5)


def test_fewer_positions_estimate_the_same_cross_entropy(model: CausalModel, labelled: Labelled) -> None:
    documents = ["we walked to the river in the rain and thank you for the lovely book by noon"] * 2
    every = bind(model, fitted(model, labelled, cross_entropy_positions=100), 25.0).cross_entropy(documents)
    some = bind(model, fitted(model, labelled, cross_entropy_positions=6), 25.0).cross_entropy(documents)
    plain = bind(model, None, 0).cross_entropy(documents)
    assert (some.tokens == plain.tokens).all()
    assert some.nats[0] == pytest.approx(every.nats[0], rel=0.05)
    assert every.nats[0] != pytest.approx(plain.nats[0], rel=1e-3)
    zero = bind(model, fitted(model, labelled), 0.0).cross_entropy(documents)
    np.testing.assert_allclose(zero.nats, plain.nats, rtol=1e-6)


def test_spaced_positions_lie_on_targets_and_short_rows_take_all() -> None:
    targets = torch.zeros(3, 20, dtype=torch.bool)
    targets[0, 1:20] = True
    targets[1, 5:8] = True
    positions, valid = spaced(targets, 4)
    assert positions[0].tolist() == [3, 8, 12, 17]
    assert positions[1][valid[1]].tolist() == [5, 6, 7]
    assert not valid[2].any()


def test_negative_strength_is_refused(model: CausalModel, labelled: Labelled) -> None:
    with pytest.raises(InputError, match="must be 0 or more"):
        bind(model, fitted(model, labelled), -1.0)


def test_inverse_cdf_handles_weights_that_underflowed() -> None:
    weights = torch.tensor([[0.0, 0.0, 1.0, 0.0]], dtype=torch.float64)
    assert inverse_cdf(weights, torch.tensor([0.0], dtype=torch.float64)).item() == 2
