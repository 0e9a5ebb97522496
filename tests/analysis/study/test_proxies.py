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


def artifact(folder, kind, fingerprint, files=None, inputs=None):
    """Make a folder an artifact of a kind."""
    files = describe_files(folder) if files is None else files
    write_manifest(folder, files, kind=kind, version=1, fingerprint=fingerprint, config={}, inputs=inputs or {},
                   counts={}, notes=[], started="now")  # fmt: skip


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A made-up study as it lies on disk: the report, and the mixtures' manifests below steps/."""
    folder = tmp_path_factory.mktemp("study") / "s"
    report = made_up_study.report(prompts=6, samples=1)
    write_report(report, folder)
    files = describe_files(folder)
    inputs = {}
    for number, (mixture, composition) in enumerate({arm.mixture: arm.composition for arm in report.arms}.items()):
        inputs[mixture] = f"{number:064x}"
        # another study's mixture has the name, so that this study's stands beside it
        for name, fingerprint, text in ((mixture, "e" * 64, "{}"),
                                         (f"{mixture}-{inputs[mixture][:8]}", inputs[mixture],
                                          json.dumps(asdict(composition)))):  # fmt: skip
            built = folder / "steps" / name
            built.mkdir(parents=True, exist_ok=True)
            (built / MANIFEST).write_text(text)
            artifact(built, "mixture", fingerprint)
    artifact(folder, "study", "f" * 64, files, inputs)
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
    built = next(path for path in (study.path / "steps").iterdir() if path.name.endswith("-00000000"))
    built.rename(built.with_name("moved"))
    with pytest.raises(InputError, match=r"no such mixture; the study's own steps are needed"):
        export_artifact(study, STUDY.exports, "swarm", tmp_path / "proxies")
    built.with_name("moved").rename(built)
    assert not list(tmp_path.iterdir())
