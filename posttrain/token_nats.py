"""Negative log-probabilities of a text's tokens under the plain model, in nats."""

from __future__ import annotations

import torch

from posttrain.model import CausalModel

_LOGITS_PER_CHUNK = 1 << 25  # 128 MB in float32


def plain_token_nats(model: CausalModel, ids: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Nats of each target token under the model as it stands; shapes as in `Method.token_nats`."""
    return nats_of_hidden(model, model.hidden(ids), ids, targets)


def nats_of_hidden(model: CausalModel, hidden: torch.Tensor, ids: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """The same from hidden states [rows, positions, hidden]; logits are made for target tokens only, in chunks."""
    # All logits at once would be rows x positions x vocabulary floats, most of them for padding and prefixes.
    rows, positions = (index.to(ids.device) for index in targets.nonzero(as_tuple=True))
    nats_BT = torch.zeros(ids.shape, dtype=torch.float64, device=ids.device)
    size = max(1, _LOGITS_PER_CHUNK // model.network.config.vocab_size)
    for chunk in torch.arange(len(rows), device=ids.device).split(size):
        row, position = rows[chunk], positions[chunk]
        logits_CV = model.logits(hidden[row, position - 1])  # the token before predicts
        losses = torch.nn.functional.cross_entropy(logits_CV, ids[row, position], reduction="none")
        nats_BT[row, position] = losses.double()
    return nats_BT
