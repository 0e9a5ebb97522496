"""`hormesis export STUDY --to swarm`: what a study measured, as runs that a swarm imports."""

import json
from dataclasses import asdict

import polars as pl
import pytest

from analysis.report.page import write_report
from analysis.study.stage import STUDY
from infra.artifacts.artifact import describe_files, read_artifact, write_manifest
from infra.artifacts.export import export_artifact
from infra.errors import InputError
from mixtures.formats.file_names import MANIFEST
from mixtures.swarm.spec import ProxiesSpec
from mixtures.swarm.tables import read_runs
from tests.helpers import made_up_study


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A made-up study as it lies on disk: the report, and the mixtures' manifests below steps/."""
    folder = tmp_path_factory.mktemp("study") / "s"
    report = made_up_study.report(prompts=6, samples=1)
    write_report(report, folder)
    files = describe_files(folder)
    for arm in report.arms:
        (folder / "steps" / arm.mixture).mkdir(parents=True, exist_ok=True)
        (folder / "steps" / arm.mixture / MANIFEST).write_text(json.dumps(asdict(arm.composition)))
    write_manifest(folder, files, kind="study", version=1, fingerprint="f" * 64, config={}, inputs={}, counts={},
                   notes=[], started="now")  # fmt: skip
    return read_artifact(folder)


def test_a_swarm_reads_the_mixtures_and_the_targets_that_the_study_measured(study, tmp_path):
    out = export_artifact(study, STUDY.exports, "swarm", tmp_path / "proxies")
    files = {name: str(out / f"{name}.csv") for name in ("mixtures", "results")}
    runs = read_runs(ProxiesSpec(**files), ("clean", "risky"), None)
    table = pl.read_parquet(study.path / "tables" / "dose_response.parquet")
    doses = dict(table.select("mixture", "dose").rows())
    for name, share in zip(runs.index, runs.mixtures[:, 1], strict=True):
        assert share == pytest.approx(doses[name], abs=1e-6)
    assert {f"{policy}.cross_entropy" for policy in table["policy"].unique()} <= set(runs.targets)
    measured = [target for target in runs.targets if target.endswith(".toxicity")]
    assert measured
    for target in measured:
        policy, method, _ = target.split(".")
        rows = table.filter(pl.col("policy") == policy, pl.col("method") == method)
        expected = dict(rows.select("mixture", "toxicity").rows())
        assert list(runs.results[:, runs.targets.index(target)]) == [expected[name] for name in runs.index]


def test_a_study_without_its_steps_is_refused_and_nothing_is_left(study, tmp_path):
    manifest = next((study.path / "steps").glob("*/mixture.json"))
    text = manifest.read_text()
    manifest.unlink()
    with pytest.raises(InputError, match=r"mixture\.json: no such file"):
        export_artifact(study, STUDY.exports, "swarm", tmp_path / "proxies")
    manifest.write_text(text)
    assert not list(tmp_path.iterdir())
