"""A probe over a text, token by token: where in it do the heads that tell toxic from benign text see it?

Probes are fitted at the last token of texts; here they read every token, so a token's score is what the probe would say
of the text if it ended there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from infra.errors import AmountError
from posttrain.causal_model import CausalModel
from posttrain.labelled import Labelled
from posttrain.probes import Array, fit_logistic

HEADS = 5
"""The most accurate heads, whose probabilities are averaged: one head alone is noisy."""
_LONGEST = 256  # tokens of a text


@dataclass(frozen=True)
class ScoredText:
    """A text in pieces, one a token, with the probability of being toxic that the probes give at that token."""

    toxic: bool
    pieces: tuple[str, ...]
    scores: tuple[float, ...]


def score_tokens(model: CausalModel, labelled: Labelled, accuracy: Array, texts: int) -> list[ScoredText]:
    """The first `texts` labelled texts, half of each class, read by the `HEADS` heads of the highest `accuracy`
    [layers, heads], whose probes are fitted anew without the documents that are shown.

    Raises AmountError where too few texts are left to fit on.
    """
    shown = _shown(labelled.toxic, texts)
    rest = ~np.isin(labelled.groups, labelled.groups[shown])
    if len(np.unique(labelled.toxic[rest])) < 2:
        raise AmountError(f"token_texts is {texts}, and no labelled text of both classes is left to fit probes on; "
                          "lower it or label more text")  # fmt: skip
    heads = [divmod(int(index), accuracy.shape[1]) for index in np.argsort(-accuracy.ravel(), kind="stable")[:HEADS]]
    outputs = labelled.computed_by(model).heads
    points = torch.from_numpy(np.stack([outputs[layer][rest, head] for layer, head in heads])).double()
    weight, bias = fit_logistic(points, torch.from_numpy(labelled.toxic[rest].astype(np.float64)))
    return [_scored(model, labelled.texts[i], bool(labelled.toxic[i]), heads, weight, bias) for i in shown]


def _shown(toxic: Array, texts: int) -> Array:
    """Indices of the first texts of either class, in their order."""
    halves = (np.flatnonzero(toxic)[: (texts + 1) // 2], np.flatnonzero(~toxic)[: texts // 2])
    return np.sort(np.concatenate(halves))


def _scored(
    model: CausalModel,
    text: str,
    toxic: bool,
    heads: Sequence[tuple[int, int]],
    weight: torch.Tensor,
    bias: torch.Tensor,
) -> ScoredText:
    ids = model.encode([text])[0][: min(_LONGEST, model.max_positions - 1)]
    outputs = head_outputs(model, [model.start, *ids], heads)[1:].double()
    chances = torch.sigmoid(torch.einsum("thd,hd->th", outputs, weight) + bias).mean(1)
    return ScoredText(toxic, _pieces(model, ids), tuple(chances.tolist()))


@torch.inference_mode()
def head_outputs(model: CausalModel, ids: Sequence[int], heads: Sequence[tuple[int, int]]) -> torch.Tensor:
    """Outputs of the (layer, head) pairs at every token, [tokens, heads, head_dim] float32, on the CPU."""
    inputs: dict[int, torch.Tensor] = {}
    with _recording(model, {layer for layer, _ in heads}, inputs):
        model.hidden(torch.tensor([list(ids)], device=model.device))
    width = model.layout.head_dim
    return torch.stack([inputs[layer][:, head * width : (head + 1) * width] for layer, head in heads], 1)


@contextmanager
def _recording(model: CausalModel, layers: set[int], inputs: dict[int, torch.Tensor]) -> Iterator[None]:
    """Keep the input of the layers' output projections, [tokens, heads * head_dim]."""

    def hook(layer: int) -> Any:
        def record(_: torch.nn.Module, arguments: tuple[torch.Tensor, ...]) -> None:
            inputs[layer] = arguments[0][0].float().cpu()

        return record

    handles = [model.outputs[layer].register_forward_pre_hook(hook(layer)) for layer in layers]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _pieces(model: CausalModel, ids: Sequence[int]) -> tuple[str, ...]:
    """What each token adds to the text. Beginnings are decoded, since a token alone may decode otherwise (blanks) or
    be part of a character, which then stands at its last token.
    """
    text, done, pieces = model.decode(list(ids)), 0, []
    for count in range(1, len(ids) + 1):
        beginning = model.decode(list(ids[:count])).rstrip("\ufffd")
        end = len(text) if count == len(ids) else max(done, min(len(beginning), len(text)))
        pieces.append(text[done:end])
        done = end
    return tuple(pieces)
