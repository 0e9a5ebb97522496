"""What the YAML of `kind: toy` may say. Light to import.

Marks: [P] as printed in Li et al. 2025 (arXiv 2505.04741), [R] as in an independent re-implementation
(github.com/DJRHails/mithridate), [D] a default of ours where neither says anything.
"""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from analysis.geometry.names import EstimatorName
from infra.config.identity import NotIdentity
from infra.config.spec import FileName, Seed, Spec, distinct


class ToyModelSpec(Spec):
    """The transformer: pre-norm blocks, learned positions, GELU."""

    layers: int = Field(4, ge=1)
    """Blocks. [P]"""
    width: int = Field(4, ge=2)
    """Of the residual stream. [P]"""
    heads: int = Field(2, ge=1)
    """Attention heads. [R]"""
    mlp: int = Field(16, ge=1)
    """Hidden units of a block's MLP. [R]"""

    @model_validator(mode="after")
    def _heads_divide(self) -> Self:
        if self.width % self.heads:
            raise ValueError(f"{self.heads} heads do not divide a width of {self.width}")
        return self


class ToyEstimatorSpec(Spec):
    """How a feature's direction is estimated."""

    name: EstimatorName = "logistic"
    """logistic: coefficients of a logistic regression; mass_mean: difference of means; lda: discriminant."""
    by_token: bool = True
    """Estimate for (feature, last token) and average over the vocabulary [P]; otherwise pooled."""

    @property
    def words(self) -> str:
        """Such as `lda by token`."""
        return f"{self.name} by token" if self.by_token else self.name


ESTIMATORS = tuple(ToyEstimatorSpec(name=name, by_token=by_token)
                   for by_token in (True, False) for name in ("logistic", "mass_mean", "lda"))  # fmt: skip


class ToySpec(Spec):
    """Many tiny transformers on cyclic Markov chains of which one is rare: is the rare chain more entangled?"""

    name: Annotated[FileName, NotIdentity]
    """Name of the artifact: runs/NAME."""
    chains: tuple[tuple[int, ...], ...] = Field(((0, 1, 2, 3), (3, 2, 1, 0), (0, 2, 1, 3)), min_length=2)
    """Orders in which the states come round. Default: 3 of the 6 cycles of 4 states [P], with as few common transitions
    as there can be [D]: a cycle, its reverse, and one that shares a transition with both.
    """
    rare: int = Field(2, ge=0)
    """Index of the chain whose share varies; the others have the rest in equal parts."""
    shares: Annotated[tuple[Annotated[float, Field(gt=0, lt=1)], ...], AfterValidator(distinct)] = Field(
        (0.001, 0.003, 0.01, 0.03, 0.1, 0.2, 1 / 3, 0.6, 0.9), min_length=2
    )
    """Shares of the rare chain among the training sequences. [D]"""
    seeds: int = Field(10, ge=2)
    """Models a share [P]; the same initial weights at every share."""
    seed: Seed = 0
    """The first of the seeds."""
    model: ToyModelSpec = ToyModelSpec()
    """The transformer."""
    length: int = Field(16, ge=2)
    """Tokens of a sequence. [R]"""
    steps: int = Field(4000, ge=1)
    """Optimizer steps. [R]"""
    batch: int = Field(64, ge=1)
    """Sequences a step. [R]"""
    learning_rate: float = Field(3e-3, gt=0)
    """Of Adam. [R]"""
    estimators: Annotated[tuple[ToyEstimatorSpec, ...], AfterValidator(distinct)] = Field(ESTIMATORS, min_length=1)
    """How directions are estimated; the verdict stands on the first, which is the paper's."""
    penalty: float = Field(10.0, gt=0)
    """Inverse penalty C of the logistic regression. [R]"""
    probe_from: int = Field(4, ge=0)
    """First position (from 0) whose activations are read: earlier ones do not tell the chain. [R]"""

    @model_validator(mode="after")
    def _chains_are_cycles(self) -> Self:
        states = list(range(len(self.chains[0])))
        if len(states) < 2 or any(sorted(chain) != states for chain in self.chains):
            raise ValueError("`chains`: a chain is an order of the same states 0, 1, 2 …, each of them once")
        if self.rare >= len(self.chains):
            raise ValueError(f"`rare` is {self.rare}, and there are {len(self.chains)} chains, from 0")
        if self.probe_from >= self.length:
            raise ValueError(f"`probe_from` is {self.probe_from}, and a sequence has {self.length} tokens, from 0")
        turned = {chain[(at := chain.index(0)) :] + chain[:at] for chain in self.chains}
        if len(turned) < len(self.chains):
            raise ValueError("`chains`: two are the same cycle, begun at another state")
        return self

    @property
    def features(self) -> int:
        """Different sequences."""
        return len(self.chains) * len(self.chains[0])
