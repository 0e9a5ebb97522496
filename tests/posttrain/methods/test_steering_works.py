"""On a model that has learned polite and rude sentences, each method does what it is for.

Covers posttrain.methods.base.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from posttrain.activations import right_padded
from posttrain.decoding.sampling import Sampling
from posttrain.labelled import Labelled
from posttrain.methods.iti import Iti
from posttrain.methods.options import ItiArgs, SasaArgs
from posttrain.methods.sasa import Sasa
from posttrain.model import CausalModel, load_model
from posttrain.steered import Steered, bind
from tests.helpers.causal_models import BENIGN, TOXIC, WORDS, save_model

RUDE = re.compile("idiot|moron|fool|stupid|shut up|ugly")
PROMPTS = ["today", "again", "at home", "by noon", "for once", "after lunch"]


def documents(count: int, clauses: int) -> tuple[list[str], np.ndarray]:
    """A neutral opening, then clauses that are all polite or all rude: a reader must remember which."""
    random = np.random.default_rng(clauses)
    rude = np.arange(count) % 2 == 1
    texts = [
        f"{random.choice(WORDS)} " + " and ".join(random.choice(TOXIC if is_rude else BENIGN, clauses))
        for is_rude in rude
    ]
    return texts, rude


@pytest.fixture(scope="module")
def labelled() -> Labelled:
    """Cut anywhere, as real lines are: a direction fitted on whole clauses knows their last words only."""
    texts, rude = documents(400, 3)
    random = np.random.default_rng(0)
    cut = [" ".join(text.split()[: random.integers(4, 14)]) for text in texts]
    return Labelled(tuple(cut), rude, np.arange(400))


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> CausalModel:
    """Two layers trained for a few seconds on as many rude as polite documents."""
    model = load_model(str(save_model(tmp_path_factory.mktemp("learned"), initializer_range=0.02)), "cpu")
    ids, last = right_padded(
        [[model.start, *tokens, model.end] for tokens in model.encode(documents(400, 3)[0])], model
    )
    labels = ids.masked_fill(torch.arange(ids.shape[1]) > last[:, None], -100)
    optimizer = torch.optim.AdamW(model.network.parameters(), lr=5e-3)
    order = torch.Generator().manual_seed(0)
    for _ in range(150):
        rows = torch.randint(0, len(ids), (32,), generator=order)
        loss = model.network(input_ids=ids[rows], labels=labels[rows]).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.6
    return model


def rude_share(steered: Steered) -> float:
    rows = steered.generate(PROMPTS, Sampling(max_new_tokens=12, samples=40, seed=0))
    return float(np.mean([bool(RUDE.search(generation.text)) for row in rows for generation in row]))


def test_iti_lowers_rudeness_and_a_random_direction_does_less(learned: CausalModel, labelled: Labelled) -> None:
    plain = rude_share(bind(learned, None, 0))
    real = Iti.fit(learned, labelled, ItiArgs(top_heads=4), 0)
    control = Iti.fit(learned, labelled, ItiArgs(top_heads=4, direction="random"), 0)
    assert plain > 0.3
    assert rude_share(bind(learned, real, 8.0)) < 0.7 * plain
    assert rude_share(bind(learned, control, 8.0)) > rude_share(bind(learned, real, 8.0))


def test_sasa_lowers_rudeness_and_more_with_more_strength(learned: CausalModel, labelled: Labelled) -> None:
    fitted = Sasa.fit(learned, labelled, SasaArgs(), 0)
    shares = [rude_share(bind(learned, fitted, strength)) for strength in (0.0, 2.0, 20.0)]
    assert shares[2] < shares[1] < shares[0]
    assert shares[2] < 0.6 * shares[0]


@pytest.mark.parametrize(
    ("method", "args", "strengths"), [(Iti, ItiArgs(top_heads=4), (0, 4, 16)), (Sasa, SasaArgs(), (0, 20, 200))]
)
def test_steering_costs_cross_entropy_and_more_with_more_strength(
    learned: CausalModel, labelled: Labelled, method: type[Iti | Sasa], args: Any, strengths: tuple[int, ...]
) -> None:
    texts, fitted = documents(40, 2)[0], method.fit(learned, labelled, args, 0)
    costs = [bind(learned, fitted, strength).cross_entropy(texts).per_token for strength in strengths]
    assert costs[0] == pytest.approx(bind(learned, None, 0).cross_entropy(texts).per_token)
    assert costs[0] < costs[1] < costs[2]


def test_common_draws_pair_a_method_with_the_plain_model(
    learned: CausalModel, labelled: Labelled, tmp_path: Path
) -> None:
    """A weak edit leaves most texts as they were; other draws leave next to none."""
    weak = bind(learned, Iti.fit(learned, labelled, ItiArgs(top_heads=4), 0), 0.02)
    plain = bind(learned, None, 0)

    def texts(steered: Steered, seed: int) -> list[str]:
        rows = steered.generate(PROMPTS, Sampling(max_new_tokens=12, samples=10, seed=seed))
        return [generation.text for row in rows for generation in row]

    same = np.mean([a == b for a, b in zip(texts(plain, 0), texts(weak, 0), strict=True)])
    other = np.mean([a == b for a, b in zip(texts(plain, 0), texts(weak, 1), strict=True)])
    assert same > 0.7
    assert other < 0.5 * same
