"""Which difference in mean toxicity a study can detect, before it is run (`hormesis plan`).

The difference of two arms under a recipe, over S seeds, P prompts and K samples, has the variance

    seed / S + prompt / P + (rest + sample / K) / (S P)

where the components are of differences: `seed` that two trainings differ, `prompt` that arms differ from prompt to
prompt, `rest` that seeds do so too, `sample` what drawing the continuations adds. The least difference that is found
with probability `POWER` at two-sided `ALPHA` is where the noncentral t distribution says so (Cohen 1988, Statistical
Power Analysis, ch. 2), with Satterthwaite's degrees of freedom over the parts: m arms and a clean one pool their seed
variance, which has m degrees of freedom for each of a seed (see `analysis.statistics.crossed`). Alpha is divided by the
number of arms (Bonferroni): for any difference that a study names, not for one chosen beforehand. What choosing the
settings costs is not in it, so a study finds such a difference at best.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from scipy.special import nctdtrinc, stdtrit

POWER = 0.8
ALPHA = 0.05


class NoiseOfDifference(NamedTuple):
    """Variances of a difference in mean toxicity, and in words where they were measured."""

    seed: float
    prompt: float
    rest: float
    sample: float
    source: str


# benchmarks/results/real (10 models of 1.6 M parameters, 200 RealToxicityPrompts x 2 samples, profanity-check). The
# variance over its 2 seeds of arm minus clean under one recipe, mean over 28 (arms.parquet), is .0117²: less the 2e-5
# that prompts and samples make of it, .0109² is the seeds'. Its answer (answer.json: standard error .0090, 12.5 degrees
# of freedom, 100 prompts) leaves .004 for prompts and samples at 2 x 2; benchmarks/results/steering, .003. These tables
# do not tell prompts from samples: half of the .004 is given to either.
MEASURED = NoiseOfDifference(
    seed=0.0109**2,
    prompt=0.002,
    rest=0.0,
    sample=0.008,
    source="of the kept study benchmarks/results/real: small models, 200 prompts, profanity-check; how it is shared "
    "between prompts and samples is assumed",
)


@dataclass(frozen=True)
class Size:
    """Of a study: seeds, prompts, continuations of a prompt, and arms that are compared with the clean one."""

    seeds: int
    prompts: int
    samples: int
    arms: int


def standard_error(size: Size, noise: NoiseOfDifference) -> float:
    """Of the difference of two arms in mean toxicity."""
    return sum(_parts(size, noise)) ** 0.5


def detectable(size: Size, noise: NoiseOfDifference) -> float | None:
    """The least difference in mean toxicity that is found with probability `POWER`; None with one seed or one prompt,
    which decide nothing. `size.arms` is at least 1.
    """
    if size.seeds < 2 or size.prompts < 2:
        return None
    df = _degrees(size, noise)
    critical = float(stdtrit(df, 1 - ALPHA / (2 * size.arms)))
    return float(nctdtrinc(df, 1 - POWER, critical)) * standard_error(size, noise)


def _parts(size: Size, noise: NoiseOfDifference) -> tuple[float, float]:
    """Variance of the difference from seeds, and from prompts with samples."""
    within = noise.prompt + (noise.rest + noise.sample / size.samples) / size.seeds
    return noise.seed / size.seeds, within / size.prompts


def _degrees(size: Size, noise: NoiseOfDifference) -> float:
    between, within = _parts(size, noise)
    of_seeds = (size.seeds - 1) * size.arms
    divisor = between**2 / of_seeds + within**2 / (size.prompts - 1)
    return (between + within) ** 2 / divisor if divisor > 0 else float(size.prompts - 1)
