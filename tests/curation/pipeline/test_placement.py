"""Where a device is decided: by whoever scores, once for a run; the command's machine needs no GPU to start one.

Covers curation.pipeline.placement and curation.scoring.resolve.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from curation.classify import devices
from curation.pipeline import placement
from curation.scorers import base_transformer, possible_weights, weights_of
from curation.scorers.base_transformer import TransformerScorer
from curation.scorers.options import TransformersSpec
from curation.scorers.transformers import Transformers
from curation.scoring import resolve
from curation.scoring.resolve import deferred, on_this_machine, scorers_in
from curation.spec import CurationSpec
from curation.stage import CURATION
from infra.errors import RanksFailed, UnavailableError
from infra.jobs.spec import ExecutionSpec
from infra.stages.stage import run_stage
from tests.helpers.classifiers import save_classifier
from tests.helpers.corpora import load

_GPUS = {"ray": {"gpus": 1}}
_SLURM = {"slurm": {"partition": "gpu", "gpus_per_task": 1}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_classifier(tmp_path_factory.mktemp("models") / "tiny")


def curation(tmp_path: Path, folder: Path, execution: dict, **scorer: object) -> CurationSpec:
    (tmp_path / "a.txt").write_text("you idiot\nfine day\n")
    section = {"name": "transformers", "model": "org/tiny", "folder": str(folder), **scorer}
    steps = [{"step": "score", "scorer": {"name": "ensemble", "scorers": [section, section]}}]
    spec = load(tmp_path, {"it": {"sources": [{"path": "a.txt"}]}}, steps=steps)
    return spec.model_copy(update={"execution": ExecutionSpec.model_validate(execution)})


@pytest.mark.parametrize("execution", [_GPUS, _SLURM])
@pytest.mark.parametrize("device", ["auto", "cuda"])
def test_a_command_without_a_gpu_names_a_run_on_workers_that_have_one(
    tmp_path: Path, folder: Path, execution: dict, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Transformers, "_fastest", classmethod(lambda *_: pytest.fail("measured here")))
    spec = curation(tmp_path, folder, execution, device=device)
    (step,) = CURATION.identity(spec).config["steps"]
    told = step["scorer"]["scorers"][0]
    assert (told["device"], told["precision"]) == ("worker" if device == "auto" else "cuda", "worker")


def test_a_worker_is_asked_once_and_all_scorers_go_by_its_answer(tmp_path: Path, folder: Path) -> None:
    artifact = run_stage(CURATION, curation(tmp_path, folder, _GPUS, precision="float32"), tmp_path / "out", quiet=True)
    (note,) = [note for note in artifact.notes if "a worker chose" in note]
    assert note == "transformers: on cpu, float32, 2,048 tokens a batch, as a worker chose"
    assert artifact.config["steps"][0]["scorer"]["scorers"][0]["device"] == "worker"


def test_a_resumed_run_goes_by_the_answer_that_is_there(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = curation(tmp_path, folder, _GPUS, precision="float32")
    chosen, stop = [], [True]

    def interrupted(self: object, texts: list[str]) -> object:
        chosen.append(self._spec.batch_tokens)  # type: ignore[attr-defined]
        if stop.pop() if stop else False:
            raise RuntimeError("stopped")
        return original(self, texts)  # type: ignore[arg-type]

    original = TransformerScorer._raw_scores
    monkeypatch.setattr(TransformerScorer, "_raw_scores", interrupted)
    with pytest.raises(RanksFailed):
        run_stage(CURATION, spec, tmp_path / "out", quiet=True)
    monkeypatch.setattr(base_transformer, "ON_CPU", 512)  # as another machine would answer
    run_stage(CURATION, spec, tmp_path / "out", quiet=True)
    assert set(chosen) == {2048}


def test_a_gpu_asked_for_that_no_worker_has_fails_there_and_says_so(tmp_path: Path, folder: Path) -> None:
    spec = curation(tmp_path, folder, _GPUS, device="cuda")
    for _ in range(2):  # the answer is not kept: the next cluster may have one
        with pytest.raises(UnavailableError, match=r"this machine has no GPU.*counts only with --ray ADDRESS"):
            run_stage(CURATION, spec, tmp_path / "out", quiet=True)
    with pytest.raises(UnavailableError, match="this machine has no GPU"):
        CURATION.identity(curation(tmp_path, folder, {}, device="cuda"))


def test_on_a_machine_with_a_gpu_ray_workers_without_one_decide_for_themselves(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = curation(tmp_path, folder, {"ray": {"gpus": 0}}, precision="float32")
    with monkeypatch.context() as here:
        here.setattr(resolve, "has_gpu", lambda: True)
        left = placement.placed(spec)
    assert {scorer.device for scorer in scorers_in(left)} == {"worker"}  # type: ignore[attr-defined]
    answer = [resolve.resolved(scorer) for scorer in scorers_in(left)]  # on a worker, from which the GPU is hidden
    assert {(scorer.device, scorer.batch_tokens) for scorer in answer} == {("cpu", 2048)}  # type: ignore[attr-defined]
    assert on_this_machine(spec) == resolve.resolved(spec)


def test_a_calibration_of_any_answer_fits_until_the_answer_is_there(tmp_path: Path, folder: Path) -> None:
    spec = TransformersSpec(model="org/tiny", folder=str(folder))
    here = spec.model_copy(update={"device": "cpu", "precision": "int8", "batch_tokens": 2048})
    there = here.model_copy(update={"device": "cuda", "precision": "bfloat16", "batch_tokens": 65536})
    known = possible_weights(deferred(spec))
    assert weights_of(here) in known and weights_of(there) in known and len(known) == 10
    assert possible_weights(here) == {weights_of(here)}


def test_workers_of_a_machine_take_its_gpus_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 4)
    for worker, expected in ((0, "cuda:0"), (3, "cuda:3"), (6, "cuda:2")):
        monkeypatch.setattr(devices, "worker_number", lambda worker=worker: worker)
        assert devices.torch_device("cuda") == expected and devices.torch_device("cpu") == "cpu"
