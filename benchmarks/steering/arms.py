"""What is timed: a row of ARMS is one way to continue texts, and the arm that it is compared with."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from benchmarks.steering.models import words
from posttrain.decoding.sampling import Sampling
from posttrain.fitted import Fitted
from posttrain.methods.iti import Iti, bake
from posttrain.methods.options import ItiArgs, SasaArgs, WordFilterArgs
from posttrain.methods.word_filter import WordFilter
from posttrain.model import CausalModel, wrap
from posttrain.steered import Steered, bind

TOP_P = 0.9
LISTED = 1000
PEER = "transformers.generate"
Way = Callable[[Sequence[str], int], int]
"""Continues texts by so many tokens each; returns how many it wrote in all."""


@dataclass(frozen=True)
class Arm:
    """`prepare` makes the way on a model, once. `aim` is the most that its time may be of the arm `against`.

    Aims are by batch size: at 1, and at the largest.
    """

    prepare: Callable[[CausalModel], Way]
    against: str
    aim: tuple[float, float]
    aim_gpu: tuple[float, float]


def _plain(model: CausalModel) -> Way:
    return _ours(bind(model, None, 0))


def _iti(model: CausalModel) -> Way:
    return _ours(bind(model, _iti_state(model), 4))


def _baked(model: CausalModel) -> Way:
    copied = wrap(copy.deepcopy(model.network), model.tokenizer, model.fingerprint)
    (method,) = bind(copied, _iti_state(copied), 4).stack.methods
    assert isinstance(method, Iti)
    bake(method)
    return _ours(bind(copied, None, 0))


def _sasa(model: CausalModel) -> Way:
    hidden, draw = model.layout.hidden, torch.Generator().manual_seed(0)
    normal = torch.randn(hidden, generator=draw) / hidden**0.5
    tensors = {"normal": normal[None], "centre": torch.zeros(1, hidden), "spread": torch.ones(1)}
    return _ours(bind(model, Fitted.of(model, SasaArgs(max_candidates=20), tensors), 100))


def _word_filter(model: CausalModel) -> Way:
    args = WordFilterArgs(words=tuple(words(LISTED)))
    return _ours(bind(model, WordFilter.fit(model, None, args, 0), 50))


def _iti_state(model: CausalModel) -> Fitted:
    """Random directions at as many heads as a fit would choose."""
    layout, draw = model.layout, torch.Generator().manual_seed(0)
    heads = (layout.layers, layout.heads)
    order = torch.rand(heads, generator=draw)
    chosen = (order >= order.flatten().topk(min(30, order.numel() // 2)).values[-1]).float()
    theta = torch.randn(*heads, layout.head_dim, generator=draw) / layout.head_dim**0.5
    return Fitted.of(model, ItiArgs(), {"theta": theta, "sigma": torch.full(heads, 0.01), "chosen": chosen})


def _ours(steered: Steered) -> Way:
    def way(texts: Sequence[str], steps: int) -> int:
        out = steered.generate(texts, Sampling(max_new_tokens=steps, top_p=TOP_P))
        return sum(len(one.tokens) for row in out for one in row)

    return way


def _theirs(model: CausalModel) -> Way:
    """The same sampling by `transformers`."""
    sampling = {"do_sample": True, "top_p": TOP_P, "top_k": 0, "pad_token_id": model.end}

    @torch.inference_mode()
    def way(texts: Sequence[str], steps: int) -> int:
        batch = model.tokenizer(list(texts), return_tensors="pt", padding=True).to(model.device)
        ids, mask = batch["input_ids"], batch["attention_mask"]
        lengths = {"max_new_tokens": steps, "min_new_tokens": steps}
        written = model.network.generate(ids, attention_mask=mask, **sampling, **lengths)[:, ids.shape[1] :]
        model.tokenizer.batch_decode(written)
        return written.numel()

    return way


ARMS = {
    PEER: Arm(_theirs, PEER, (1, 1), (1, 1)),
    "plain": Arm(_plain, PEER, (1, 1), (1 / 3, 1 / 2)),
    "iti": Arm(_iti, "plain", (1.03, 1.03), (1.03, 1.03)),
    "iti, baked": Arm(_baked, "plain", (1.0, 1.0), (1.0, 1.0)),
    "word filter (1,000)": Arm(_word_filter, "plain", (1.05, 1.05), (1.05, 1.05)),
    "sasa (20)": Arm(_sasa, "plain", (1.5, 2.0), (1.5, 2.0)),
}
