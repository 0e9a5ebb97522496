"""One pass over the labelled texts serves all that is fitted on them, in one process after another or at once.

Covers posttrain.activations.
"""

from __future__ import annotations

import multiprocessing
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from infra.artifacts.artifact import Artifact
from infra.stages.stage import run_stage
from posttrain import activations
from posttrain.activations import Activations, last_token, load_activations, save_activations
from posttrain.fitted import load_fitted
from posttrain.labelled import read_labelled
from posttrain.methods import METHODS
from posttrain.model import CausalModel, load_model
from posttrain.spec import LabelledFileSpec, LabelledSpec, PosttrainSpec
from posttrain.stage import POSTTRAIN
from tests.helpers.causal_models import BENIGN, TOXIC, sentences


def spec(model: Path, mixture: Path, method: Any, **changes: Any) -> PosttrainSpec:
    labelled = {"mixture": str(mixture), "per_class": 30}
    return PosttrainSpec(**{"name": "x", "model": str(model), "method": method, "labelled": labelled, **changes})


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of texts of every pass that is made."""
    made: list[int] = []

    def counted(model: CausalModel, texts: Any, *arguments: Any, **named: Any) -> Activations:
        made.append(len(texts))
        return last_token(model, texts, *arguments, **named)

    monkeypatch.setattr(activations, "last_token", counted)
    return made


def run(folder: Path, given: PosttrainSpec) -> Artifact:
    return run_stage(POSTTRAIN, given, folder, quiet=True)


@pytest.mark.parametrize("name", ["iti", "sasa", "caa"])
def test_methods_share_one_pass_and_fit_what_they_would_alone(
    name: str, model_folder: Path, mixture: Path, tmp_path: Path, passes: list[int]
) -> None:
    run(tmp_path / "first", spec(model_folder, mixture, {"name": "iti", "direction": "probe"}))
    artifact = run(tmp_path / "steer", spec(model_folder, mixture, name))
    assert passes == [60]
    assert len(list((tmp_path / "store").glob("activations-*"))) == 1
    model = load_model(str(model_folder), "cpu")
    labelled = read_labelled(LabelledSpec(mixture=str(mixture), per_class=30), 0)
    alone = METHODS.get(name).fit(model, labelled, METHODS.get(name).args(), 0)
    assert passes == [60, 60]
    stored = load_file(artifact.path / "steering.safetensors")
    assert stored.keys() == alone.tensors.keys()
    assert all(torch.equal(stored[key], alone.tensors[key]) for key in stored)


def test_other_texts_are_another_pass(model_folder: Path, mixture: Path, tmp_path: Path, passes: list[int]) -> None:
    labelled = {"mixture": str(mixture), "per_class": 30}
    run(tmp_path / "a", spec(model_folder, mixture, "sasa"))
    run(tmp_path / "b", spec(model_folder, mixture, "iti", seed=1))
    assert len(passes) == 2
    run(tmp_path / "c", spec(model_folder, mixture, "iti", seed=1, labelled={**labelled, "seed": 0}))
    assert len(passes) == 2  # the section's seed says which texts
    run(tmp_path / "d", spec(model_folder, mixture, "iti", labelled={**labelled, "per_class": 20}))
    assert passes == [60, 60, 40]


def test_a_seed_of_the_section_alone_changes_a_fingerprint(model_folder: Path, mixture: Path) -> None:
    base = spec(model_folder, mixture, "iti")
    labelled = {"mixture": str(mixture), "per_class": 30}
    assert "seed" not in base.identity()["labelled"]
    seeded = spec(model_folder, mixture, "iti", labelled={**labelled, "seed": 0})
    assert POSTTRAIN.fingerprint(seeded) != POSTTRAIN.fingerprint(base)


def fit_slowly(folder: Path, given: PosttrainSpec) -> None:
    """In a process of its own, with a pass that takes its time and leaves a line."""
    usual = activations.last_token

    def slow(*arguments: Any, **named: Any) -> Activations:
        with open(folder / "passes", "a") as file:
            file.write("one\n")
        time.sleep(1.5)
        return usual(*arguments, **named)

    activations.last_token = slow
    run(folder / given.method_name, given)


def test_two_processes_at_once_make_one_pass(model_folder: Path, mixture: Path, tmp_path: Path) -> None:
    """Whoever is second waits for the first: the pass sleeps, so both want it while it is made."""
    given = [spec(model_folder, mixture, method) for method in ("iti", "sasa")]
    fork = multiprocessing.get_context("fork")  # a new interpreter would import for longer than the test takes
    processes = [fork.Process(target=fit_slowly, args=(tmp_path, one)) for one in given]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout=60)
    assert [process.exitcode for process in processes] == [0, 0]
    assert (tmp_path / "passes").read_text().splitlines() == ["one"]
    for one in given:
        alone = run(tmp_path / "alone" / one.method_name, one)
        both = [folder / "steering.safetensors" for folder in (tmp_path / one.method_name, alone.path)]
        assert both[0].read_bytes() == both[1].read_bytes()


def test_activations_are_kept_as_they_were_and_read_as_memory_maps(model: CausalModel, tmp_path: Path) -> None:
    texts = ["the garden was lovely", "shut up you fool", "you"]
    in_memory = last_token(model, texts)
    on_disk = last_token(model, texts, scratch=tmp_path)
    assert isinstance(on_disk.heads, np.memmap)
    assert list(tmp_path.iterdir()) == []  # the files have no names, so a killed process leaves none
    save_activations(tmp_path, on_disk)
    opened = load_activations(tmp_path)
    for name, array in vars(in_memory).items():
        np.testing.assert_array_equal(getattr(opened, name), array)


def test_several_attributes_have_a_boundary_each(model_folder: Path, tmp_path: Path, passes: list[int]) -> None:
    """In a file by the keys of their names; insults are other lines than toxic ones here."""
    file = tmp_path / "labelled.jsonl"
    rows = [
        f'{{"text": "{text}", "toxicity": {int(toxic)}, "insult": {int(number % 2)}}}\n'
        for toxic, pieces in ((False, BENIGN), (True, TOXIC))
        for number, text in enumerate(sentences(pieces))
    ]
    file.write_text("".join(rows))
    weights = {"toxicity": 1.0, "insult": 0.5}
    given = PosttrainSpec.model_validate(
        {
            "name": "x", "model": str(model_folder), "method": {"name": "sasa", "attributes": weights},
            "labelled": LabelledFileSpec(path=str(file), per_class=20),
        }
    )  # fmt: skip
    artifact = run(tmp_path / "run", given)
    assert passes == [40, 40]
    fitted = load_fitted(artifact.path)
    assert fitted.tensors["normal"].shape == (2, 32)
    assert fitted.facts.attribute_accuracy is not None
    assert set(fitted.facts.attribute_accuracy) == {"toxicity", "insult"}
    assert not torch.allclose(*fitted.tensors["normal"], atol=0.1)
    assert "Boundaries by attribute" in [table.title for table in POSTTRAIN.show(artifact).tables]
    model = load_model(str(model_folder), "cpu")
    method = METHODS.get("sasa")(model, fitted, 3.0)
    hidden = torch.randn(2, 5, 32, generator=torch.Generator().manual_seed(0))
    inside = torch.tensor([[True] * 5, [True] * 3 + [False] * 2])
    bonus = torch.zeros(2, 5, dtype=torch.float64)
    for index, weight in enumerate((0.5, 1.0)):  # rows stand by name: insult, toxicity
        normal, centre, spread = (fitted.tensors[name][index].double() for name in ("normal", "centre", "spread"))
        margins = (hidden.double() - centre) @ normal / spread
        bonus += 3.0 * weight * margins.masked_fill(~inside, -float("inf")).softmax(-1)
    torch.testing.assert_close(method.bonus(hidden, inside), bonus, atol=1e-5, rtol=1e-5)
