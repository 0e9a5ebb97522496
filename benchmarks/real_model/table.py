"""The page of the real model: every recipe at every budget, with intervals over prompts and over documents."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from benchmarks.real_model.measure import Measured, Sizes

_RESAMPLES = 2000
Array = NDArray[np.float64]


def page(rows: Sequence[tuple[str, float | None, Measured]], plain: Measured, sizes: Sizes, machine: str) -> str:
    """Markdown: a row a (recipe, budget, figures)."""
    lines = [
        "# Steering a real model",
        "",
        f"Made by `python -m benchmarks.real_model` on {machine}.",
        "",
        "Gemma 3 270M (base, out of 4-bit GGUF, in float32). Fitted on "
        f"{2 * sizes.per_class} comments of Wikipedia; strengths found on {sizes.searched_on} articles of WikiText-2's "
        f"validation part, prices measured on {len(plain.tokens)} of its test part "
        f"({sizes.tokens_per_document} tokens of each); {len(plain.scores)} challenging prompts of "
        f"RealToxicityPrompts, {sizes.samples} continuations of {sizes.new_tokens} tokens (top-p 0.9), scored by "
        "`profanity`. "
        "Brackets are 95 % intervals: over prompts, or over documents.",
        "",
        "`sft` is a LoRA tune on the neutral side of 480 pairs of ParaDetox, DExperts' anti-expert one on the toxic "
        "side (its expert is `sft`), `dpo` one on the model's own continuations of toxic prompts that are none of "
        "those measured (see `benchmarks/real_model/tunes.py`). The model was not pretrained with the prefixes of "
        "`prefix guidance`.",
        "",
        "A strength is in its method's own unit. `budget` is what it was to cost where it was found, `cost` what it "
        "costs on other texts, `against plain` the paired difference of the mean toxicity.",
        "",
        "| recipe | budget | strength | cost, nats | mean toxicity | against plain | share ≥ 0.5 | distinct pairs | "
        "candidates hold |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for name, budget, measured in [("unsteered", None, plain), *rows]:
        strength = "" if measured.strength is None else f"{measured.strength:.3g}"
        missed = "" if measured.reached or budget is None else " (not reached)"
        against = "" if measured is plain else interval(_difference(measured, plain))
        lines.append(
            f"| {name} | {'' if budget is None else budget}{missed} | {strength} | {interval(_cost(measured, plain))} "
            f"| {interval(_mean(measured))} | {against} | {_share(measured):.3f} | {measured.distinct:.2f} "
            f"| {'' if measured.candidates is None else f'{measured.candidates:.0%}'} |"
        )
    unscored = sum(score is None for _, _, m in rows for samples in m.scores for score in samples)
    lines += [
        "",
        f"{unscored} continuations of all have no score and count in no mean. What candidates hold is the share of the "
        "probability of all that could be drawn which those hold that a method looks at.",
    ]
    return "\n".join(lines) + "\n"


def interval(figures: tuple[float, float, float]) -> str:
    """A figure with its interval."""
    value, low, high = figures
    return f"{value:.3f} ({low:.3f} to {high:.3f})"


def _mean(measured: Measured) -> tuple[float, float, float]:
    sums, counts = _by_prompt(measured)
    return _resampled(lambda weights: (weights @ sums) / (weights @ counts), len(sums))


def _difference(measured: Measured, plain: Measured) -> tuple[float, float, float]:
    """Mean toxicity less the unsteered model's, the same prompts in both."""
    (sums, counts), (plain_sums, plain_counts) = _by_prompt(measured), _by_prompt(plain)
    return _resampled(
        lambda weights: (weights @ sums) / (weights @ counts) - (weights @ plain_sums) / (weights @ plain_counts),
        len(sums),
    )


def _cost(measured: Measured, plain: Measured) -> tuple[float, float, float]:
    """Nats per token above the unsteered model's, the same documents in both."""
    extra, tokens = np.array(measured.nats) - np.array(plain.nats), np.array(plain.tokens, dtype=float)
    return _resampled(lambda weights: (weights @ extra) / (weights @ tokens), len(tokens))


def _by_prompt(measured: Measured) -> tuple[Array, Array]:
    """Sum of the scores of each prompt, and how many there are."""
    scored = [[score for score in samples if score is not None] for samples in measured.scores]
    return np.array([sum(scores) for scores in scored]), np.array([float(len(scores)) for scores in scored])


def _share(measured: Measured) -> float:
    scores = [score for samples in measured.scores for score in samples if score is not None]
    return float(np.mean([score >= 0.5 for score in scores]))


def _resampled(figure: Callable[[Array], Array], clusters: int) -> tuple[float, float, float]:
    """The figure, and its 2.5th and 97.5th percentile over resampled clusters."""
    draws = np.random.default_rng(0).multinomial(clusters, np.full(clusters, 1 / clusters), size=_RESAMPLES)
    low, high = np.quantile(figure(draws.astype(float)), [0.025, 0.975])
    return float(figure(np.ones((1, clusters)))[0]), float(low), float(high)
