"""The quickstart's models that are tuned, and RealToxicityPrompts, split in two."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from analysis.study.arms import arms_of
from analysis.study.spec import StudySpec
from analysis.study.steps import steps_of
from curation.sources.read import read_source
from hormesis import KINDS, load
from infra.artifacts.artifact import STEPS, STORE, Artifact
from infra.config.spec import Spec
from infra.stages.stage import run_stage
from tests.helpers import ROOT

DATA = ROOT.parent / "shared" / "data"
QUICKSTART = ROOT / "examples" / "quickstart.yaml"
DOSE, POLICY = 0.25, "keep"
SPLIT = 5  # every fifth prompt is measured with, the others are tuned with


@dataclass(frozen=True)
class Trained:
    """One pretrained model of the study, and its mixture."""

    seed: int
    model: Path
    mixture: Path


def stage(kind: str, target: Path, spec: Spec, store: Path) -> Artifact:
    """Run a stage; what is there already is not done again."""
    return run_stage(cast(Any, KINDS.get(kind)), spec, target, store=store, workers=2)


def run(kind: str, folder: Path, name: str, **keys: Any) -> Path:
    """Run a stage into `folder/name`."""
    spec = KINDS.get(kind).spec(name=name, **keys)  # type: ignore[call-arg]
    return stage(kind, folder / name, spec, folder / STORE).path


def pretrained(folder: Path) -> list[Trained]:
    """The quickstart's models at a dose of 25 %, every token learned, one a seed; `folder` may be that of the study."""
    study = cast(StudySpec, load(QUICKSTART, None).spec)
    chosen = [arm for arm in arms_of(study) if (arm.dose, arm.policy) == (DOSE, POLICY)]
    steps = {step.name: step for step in steps_of(study)}
    paths: dict[str, Path] = {}
    for name in ("curation", chosen[0].mixture, *(arm.model for arm in chosen)):
        step = steps[name]
        paths[name] = stage(step.kind, folder / STEPS / name, step.make(paths), folder / STORE).path
    return [Trained(arm.seed, paths[arm.model], paths[arm.mixture]) for arm in chosen]


def split_prompts(folder: Path) -> tuple[Path, Path]:
    """The quickstart's prompts: a file to tune with, and one, with none of those, to measure with."""
    study = cast(StudySpec, load(QUICKSTART, None).spec)
    assert study.analysis.toxicity is not None
    prompts = list(dict.fromkeys(document.text for document in read_source(study.analysis.toxicity.prompts)))
    folder.mkdir(parents=True, exist_ok=True)
    files = folder / "tune.jsonl", folder / "measure.jsonl"
    measured = prompts[::SPLIT]
    for file, texts in zip(files, (without(prompts, set(measured)), measured), strict=True):
        file.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return files


def without(texts: list[str], others: set[str]) -> Iterator[str]:
    """The texts that are none of the others."""
    return (text for text in texts if text not in others)


def judge(folder: Path) -> dict[str, Any] | None:
    """A second scorer, which no tuning has seen: a linear one of comments that people have called toxic; None where the
    data are not there.
    """
    file = DATA / "jigsaw" / "jigsaw_binary_subset.jsonl.gz"
    if not file.exists():
        return None
    source = {"path": str(file)}
    examples = [{"source": source, "label_key": "toxic", "names": {"1": "toxicity", "0": "clean"}}]
    return {"name": "linear", "path": str(run("linear", folder, "judge", examples=examples))}
