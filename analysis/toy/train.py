"""All toy models at once: every share and seed, under one optimizer, saved now and then."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from analysis.toy.chains import Array, probabilities, sequences
from analysis.toy.model import Ensemble
from analysis.toy.spec import ToySpec
from infra.atomic import atomic_path
from infra.render.progress import Advance

CHECKPOINT = "training.pt"
SAVE_EVERY = 200  # steps


@dataclass(frozen=True)
class Cell:
    """A model: the share of the rare chain that it trained on, and its seed."""

    share: float
    seed: int


def cells_of(spec: ToySpec) -> list[Cell]:
    """Every model, share by share."""
    return [Cell(share, spec.seed + number) for share in spec.shares for number in range(spec.seeds)]


def new_ensemble(spec: ToySpec) -> Ensemble:
    """Models before training; those of one seed begin alike at every share."""
    return Ensemble(spec.model, len(spec.chains[0]), spec.length, [cell.seed for cell in cells_of(spec)])


def train(spec: ToySpec, folder: Path, advance: Advance) -> Ensemble:
    """Train, or go on from what a killed run left in `folder`; the same bytes either way.

    The sum of the models' losses has a model's own gradient for a model's parameters, and Adam works by element, so
    that one optimizer over the stack is one for each.
    """
    ensemble = new_ensemble(spec)
    optimizer = torch.optim.Adam(ensemble.parameters.values(), lr=spec.learning_rate)
    begun = _restore(ensemble, optimizer, folder / CHECKPOINT)
    advance(begun)
    tokens = torch.from_numpy(sequences(spec.chains, spec.length + 1))
    with one_thread():
        for step in range(begun, spec.steps):
            optimizer.zero_grad()
            (losses(ensemble, tokens) * torch.from_numpy(_weights(spec, step))).sum().backward()
            optimizer.step()
            advance(1)
            if (step + 1) % SAVE_EVERY == 0 and step + 1 < spec.steps:
                _save(ensemble, optimizer, step + 1, folder / CHECKPOINT)
    return ensemble


def losses(ensemble: Ensemble, tokens: torch.Tensor) -> torch.Tensor:
    """Nats per token of `tokens` [sequences, length + 1] -> [models, sequences]."""
    logits = ensemble.forward(tokens[:, :-1])[0].log_softmax(-1)
    target = tokens[None, :, 1:, None].expand(len(logits), -1, -1, 1)
    return -logits.gather(-1, target)[..., 0].mean(-1)


def _weights(spec: ToySpec, step: int) -> Array:
    """A batch of each model as weights of the sequences, [models, sequences] float32.

    There are only a dozen different sequences: one pass over them, weighted by how often they were drawn, is the
    gradient of the whole batch at a fraction of its cost.
    """
    rows = []
    for cell in cells_of(spec):
        rng = np.random.default_rng([cell.seed, step])  # the share is no part: batches are paired over shares
        rows.append(rng.multinomial(spec.batch, probabilities(spec.chains, spec.rare, cell.share)))
    return (np.array(rows) / spec.batch).astype(np.float32)


def _save(ensemble: Ensemble, optimizer: torch.optim.Optimizer, step: int, file: Path) -> None:
    state = {"step": step, "parameters": ensemble.parameters, "optimizer": optimizer.state_dict()}
    with atomic_path(file) as temporary:
        torch.save(state, temporary)


def _restore(ensemble: Ensemble, optimizer: torch.optim.Optimizer, file: Path) -> int:
    """Steps that a killed run has made."""
    if not file.exists():
        return 0
    state = torch.load(file, weights_only=True)
    with torch.no_grad():
        for name, parameter in ensemble.parameters.items():
            parameter.copy_(state["parameters"][name])
    optimizer.load_state_dict(state["optimizer"])
    return int(state["step"])


@contextmanager
def one_thread() -> Iterator[None]:
    """Tensors of a few thousand numbers: handing them to threads costs more than they do."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
