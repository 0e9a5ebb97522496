"""Which difference in mean toxicity a study's seeds and prompts can detect, for its plan."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from analysis.statistics.power import ALPHA, MEASURED, POWER, NoiseOfDifference, Size, detectable
from analysis.study.arms import arms_of
from analysis.study.spec import StudySpec
from infra.render.page import Table

RESULTS = "results.parquet"
SEEDS = (2, 3, 5, 10)
TIMES = 4
"""How many times as many prompts or samples the table tells of beside."""
PROMPTS = 1000
"""Where the study measures all prompts of its file, which are not counted before it runs."""


def detectable_difference(study: StudySpec) -> tuple[tuple[Table, ...], tuple[str, ...]]:
    """A table of what more seeds, prompts or samples would give, and a sentence; nothing where no arm has risky text
    to compare with a clean one, or toxicity is not measured.
    """
    size = _size(study)
    if size is None:
        return (), ()
    noise, remark = _noise(Path("runs") / study.name / RESULTS)
    return (_table(size, noise),), (_sentence(size, noise, _counted(study)), *_bound(size, noise), *remark)


def _size(study: StudySpec) -> Size | None:
    measured, arms = study.analysis.toxicity, arms_of(study)
    risky = {(arm.dose, arm.policy) for arm in arms if arm.dose > 0}
    if measured is None or not risky or 0 not in study.doses:
        return None
    return Size(len(study.seeds), measured.limit or PROMPTS, measured.samples, len(risky))


def _counted(study: StudySpec) -> bool:
    return study.analysis.toxicity is not None and study.analysis.toxicity.limit is not None


def _noise(results: Path) -> tuple[NoiseOfDifference, tuple[str, ...]]:
    """The noise of an earlier run of this study, or that which was measured elsewhere; and what is to be told of it."""
    if not results.is_file():
        return MEASURED, ()
    # Polars and scipy.stats, which a plan needs for nothing else.
    from analysis.statistics.earlier_noise import earlier_noise

    earlier = earlier_noise(results)
    if earlier is None:
        return MEASURED, (f"{results} holds no arm with risky text beside a clean one, or cannot be read",)
    return earlier, ()


def _table(size: Size, noise: NoiseOfDifference) -> Table:
    more = (size, replace(size, prompts=TIMES * size.prompts), replace(size, samples=TIMES * size.samples))
    columns = tuple(f"{s.prompts:,} prompts × {s.samples}" for s in more)
    seeds = sorted({size.seeds, *SEEDS})
    rows = tuple((n, *(_words(detectable(replace(s, seeds=n), noise)) for s in more)) for n in seeds)
    return Table("difference in mean toxicity that is detected", ("seeds", *columns), rows)


def _sentence(size: Size, noise: NoiseOfDifference, counted: bool) -> str:
    difference = detectable(size, noise)
    prompts = f"{size.prompts:,} prompts" if counted else f"{size.prompts:,} prompts (assumed: there is no `limit`)"
    what = f"{size.seeds} seeds, {prompts} and {size.samples} samples of them"
    level = f"two-sided {100 * ALPHA:g} % over {size.arms} arms (Bonferroni)"
    how = f"power {100 * POWER:g} %, {level}, noise {noise.source}"
    if difference is None:
        few = "one seed decides" if size.seeds == 1 else "one prompt decides"
        return f"{few} nothing: no difference in mean toxicity is detected ({how})"
    return f"{what} detect a difference of {difference:.3f} in mean toxicity: {how}"


def _bound(size: Size, noise: NoiseOfDifference) -> tuple[str, ...]:
    """That seeds are what is lacking, where more prompts would not help: the more of the noise is the seeds', the fewer
    degrees of freedom it is known with.
    """
    now, more = (detectable(s, noise) for s in (size, replace(size, prompts=TIMES * size.prompts)))
    if now is None or more is None or more < now:
        return ()
    return ("more prompts would not help: what differs between so few seeds is most of the noise then; add seeds",)


def _words(difference: float | None) -> str:
    return "none" if difference is None else f"{difference:.3f}"
