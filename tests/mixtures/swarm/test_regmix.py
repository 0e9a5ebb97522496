"""The gates on real proxies (RegMix): the log-linear law alone passes both; benchmarks/swarm/regmix.py has both
responses.
"""

import numpy as np
import pytest

from infra.config.spec import load_spec
from mixtures.swarm.fitting.choose import spearman
from mixtures.swarm.fitting.fit import read_inputs
from mixtures.swarm.responses.log_linear import LogLinear
from mixtures.swarm.spec import SwarmSpec
from tests.helpers import ROOT, SHARED

pytestmark = pytest.mark.skipif(
    not (SHARED / "data/regmix").is_dir(),
    reason="RegMix's runs lie in ../shared/data, which is not here; test_responses.py covers the code on made-up runs",
)


@pytest.fixture(scope="module")
def inputs():
    _, spec = load_spec(ROOT / "examples/swarm-regmix.yaml", {"swarm": lambda: SwarmSpec}, [])
    return read_inputs(spec)


def rank(inputs, rows):
    """Mean Spearman over the 13 losses on the 256 test runs, fitted on these rows."""
    runs, check = inputs.runs, inputs.check
    fitted = LogLinear.fit(runs.mixtures[rows], runs.results[rows], np.ones((1, len(rows))), 0)
    return spearman(fitted.predict(check.mixtures)[0].T, check.results).mean()


def test_512_runs_rank_the_test_runs(inputs):
    assert len(inputs.runs.index) == 512 and len(inputs.check.index) == 256 and len(inputs.runs.targets) == 13
    assert rank(inputs, np.arange(512)) >= 0.97


def test_54_random_runs_rank_them_nearly_as_well(inputs):
    draws = [np.random.default_rng(seed).choice(512, 54, replace=False) for seed in range(10)]
    assert np.mean([rank(inputs, rows) for rows in draws]) >= 0.92
