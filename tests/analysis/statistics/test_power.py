"""The difference that a study is told to detect is one it does detect, in four of five simulated studies.

Covers analysis.statistics.power and analysis.statistics.earlier_noise.
"""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from scipy.stats import t as student
from scipy.stats import ttest_1samp

from analysis import results
from analysis.results import Labels, Row
from analysis.statistics.earlier_noise import earlier_noise
from analysis.statistics.power import MEASURED, NoiseOfDifference, Size, detectable, standard_error


def differences(size: Size, noise: NoiseOfDifference, studies: int, rng: np.random.Generator) -> np.ndarray:
    """Mean difference of one arm under each seed [studies, seeds], around zero."""
    by_prompt = rng.normal(0, noise.prompt**0.5, (studies, 1, size.prompts))
    rest = (noise.rest + noise.sample / size.samples) ** 0.5
    cells = by_prompt + rng.normal(0, rest, (studies, size.seeds, size.prompts))
    return cells.mean(2) + rng.normal(0, noise.seed**0.5, (studies, size.seeds))


@pytest.mark.parametrize("seeds", [2, 3, 10])
def test_where_seeds_are_all_the_noise_a_t_test_detects_it_in_four_of_five_studies(seeds: int) -> None:
    noise = NoiseOfDifference(0.01**2, 0.0, 0.0, 1e-9, "")
    size = Size(seeds, 100, 2, arms=1)
    least = detectable(size, noise)
    assert least is not None
    drawn = differences(size, noise, 2000, np.random.default_rng(0)) + least
    assert np.mean(ttest_1samp(drawn, 0.0, axis=1).pvalue < 0.05) == pytest.approx(0.8, abs=0.03)


@pytest.mark.parametrize(("seeds", "arms"), [(3, 1), (3, 4), (5, 4), (5, 20)])
def test_arms_that_pool_their_seed_variance_detect_it_in_four_of_five_studies(seeds: int, arms: int) -> None:
    """A t test per arm with the seed variance pooled over all, as the intervals do, at 5 % over the number of arms."""
    size, rng = Size(seeds, 60, 2, arms), np.random.default_rng(1)
    least = detectable(size, MEASURED)
    assert least is not None
    within = standard_error(size, MEASURED._replace(seed=0.0)) ** 2
    pooled_df = (seeds - 1) * 4 * arms / (arms + 3)
    between = MEASURED.seed / seeds * rng.chisquare(pooled_df, 4000) / pooled_df
    df = (between + within) ** 2 / (between**2 / pooled_df + within**2 / (size.prompts - 1))
    observed = least + differences(size, MEASURED, 4000, rng).mean(1)
    limit = student.ppf(1 - 0.025 / arms, df) * np.sqrt(between + within)
    assert np.mean(np.abs(observed) > limit) == pytest.approx(0.8, abs=0.05)


def test_standard_error_is_that_of_simulated_studies() -> None:
    size, rng = Size(3, 20, 4, 1), np.random.default_rng(2)
    noise = NoiseOfDifference(0.01**2, 0.002, 0.003, 0.008, "")
    drawn = differences(size, noise, 4000, rng).mean(1)
    assert drawn.std() == pytest.approx(standard_error(size, noise), rel=0.05)


def test_many_seeds_and_prompts_need_the_textbooks_2_8_standard_errors() -> None:
    size = Size(400, 5000, 1, arms=1)
    least = detectable(size, MEASURED)
    assert least is not None and least / standard_error(size, MEASURED) == pytest.approx(1.960 + 0.842, rel=0.01)


def test_one_seed_detects_nothing_and_more_seeds_detect_more_and_many_arms_less() -> None:
    assert detectable(Size(1, 1000, 25, 4), MEASURED) is None and detectable(Size(3, 1, 25, 4), MEASURED) is None
    by_seeds = [detectable(Size(seeds, 200, 2, 4), MEASURED) or 0.0 for seeds in (2, 3, 5, 10, 30)]
    by_arms = [detectable(Size(3, 200, 2, arms), MEASURED) or 0.0 for arms in (4, 20, 100)]
    assert by_seeds == sorted(by_seeds, reverse=True) and by_arms == sorted(by_arms)


def table(seeds: int, noise: NoiseOfDifference, prompts: int = 80, samples: int = 3, arms: int = 12) -> pl.DataFrame:
    """Results of one clean arm and of risky arms whose differences from it have these components."""
    rng, frames = np.random.default_rng(0), []
    for arm in range(arms + 1):
        dose, policy = (0.0, "keep") if arm == 0 else (0.1, f"policy {arm}")
        scale = 0.0 if arm == 0 else 1.0  # all but the samples' noise is the risky arm's
        by_prompt = rng.normal(0, scale * noise.prompt**0.5, prompts)
        for seed in range(seeds):
            luck = rng.normal(0, scale * noise.seed**0.5) + by_prompt + rng.normal(0, scale * noise.rest**0.5, prompts)
            scores = 0.5 + luck[:, None] + rng.normal(0, (noise.sample / 2) ** 0.5, (prompts, samples))
            rows = [Row(prompt=p, sample=s, prompt_id=str(p), value=float(scores[p, s]), tokens=5)
                    for p, s in product(range(prompts), range(samples))]  # fmt: skip
            labels = Labels(f"arm {arm}", dose, policy, f"dose-{dose}", seed, "iti", 1.0)
            frames.append(results.frame(labels, results.TOXICITY, rows))
    return pl.concat(frames)


def test_components_of_an_earlier_run_are_those_it_was_made_with(tmp_path: Path) -> None:
    truth = NoiseOfDifference(seed=0.04**2, prompt=0.05**2, rest=0.03**2, sample=0.08**2, source="")
    results.write(table(4, truth), tmp_path / "results.parquet")
    measured = earlier_noise(tmp_path / "results.parquet")
    assert measured is not None and "earlier run" in measured.source
    assert measured[:4] == pytest.approx(truth[:4], rel=0.35)


def test_earlier_run_of_one_seed_says_nothing_of_seeds(tmp_path: Path) -> None:
    truth = NoiseOfDifference(seed=0.0, prompt=0.05**2, rest=0.0, sample=0.08**2, source="")
    results.write(table(1, truth), tmp_path / "results.parquet")
    measured = earlier_noise(tmp_path / "results.parquet")
    assert measured is not None and measured.seed == MEASURED.seed and "one seed" in measured.source
    assert measured.prompt + measured.sample / 3 == pytest.approx(truth.prompt + truth.sample / 3, rel=0.2)


def test_file_that_is_no_results_table_or_has_no_pair_says_nothing(tmp_path: Path) -> None:
    (tmp_path / "results.parquet").write_bytes(b"nothing")
    assert earlier_noise(tmp_path / "results.parquet") is None
    pl.DataFrame({"value": [1.0]}).write_parquet(tmp_path / "other.parquet")
    assert earlier_noise(tmp_path / "other.parquet") is None
    clean = table(2, MEASURED, prompts=5).filter(pl.col("dose") == 0)
    results.write(clean, tmp_path / "clean.parquet")
    assert earlier_noise(tmp_path / "clean.parquet") is None
