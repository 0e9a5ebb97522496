"""The stage from YAML to steered model: artifact, fingerprint, page, and what is refused.

Covers posttrain.stage, posttrain.spec, posttrain.fitted, posttrain.model, posttrain.steered, posttrain.page and
posttrain.methods.options.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from infra.artifacts.artifact import Artifact, describe_files, now, write_manifest
from infra.errors import ArtifactError, InputError, UnavailableError
from infra.stages.stage import run_stage
from posttrain.decoding.sampling import Sampling
from posttrain.fitted import load_fitted
from posttrain.methods import METHODS
from posttrain.model import load_model
from posttrain.recipe import Recipe, RecipeEntry, parse_recipe
from posttrain.spec import PosttrainSpec, method_spec
from posttrain.stage import POSTTRAIN
from posttrain.steered import generate_side_by_side, load_steered
from tests.helpers.causal_models import save_model
from tests.helpers.steering_methods import method_section


def spec(model: Path, mixture: Path, method: Any, **changes: Any) -> PosttrainSpec:
    labelled = {"mixture": str(mixture), "per_class": 30}
    return PosttrainSpec(**{"name": "x", "model": str(model), "method": method, "labelled": labelled, **changes})


def recipe(folder: Path, strength: float) -> Recipe:
    return (RecipeEntry(steering=str(folder), strength=strength),)


def run(folder: Path, given: PosttrainSpec) -> Artifact:
    return run_stage(POSTTRAIN, given, folder, quiet=True)


def test_the_device_is_no_part_of_the_fingerprint_and_is_handed_on(
    model_folder: Path, mixture: Path, tmp_path: Path
) -> None:
    on_cpu = spec(model_folder, mixture, "prompt", device="cpu")
    assert POSTTRAIN.identity(on_cpu) == POSTTRAIN.identity(spec(model_folder, mixture, "prompt"))
    with pytest.raises(ValidationError, match="device"):
        spec(model_folder, mixture, "prompt", device="tpu")
    if not torch.cuda.is_available():
        with pytest.raises(UnavailableError, match="no GPU"):
            run(tmp_path / "run", spec(model_folder, mixture, "prompt", device="cuda"))
        with pytest.raises(UnavailableError, match="no GPU"):
            load_steered(model_folder, device="cuda")


@pytest.mark.parametrize("name", METHODS.names())
def test_every_method_is_fitted_saved_loaded_and_used(
    name: str, model_folder: Path, mixture: Path, tmp_path: Path
) -> None:
    method = method_section(name, model_folder)
    artifact = run(tmp_path / name, spec(model_folder, mixture, method))
    assert {"steering.json", "steering.safetensors"} == set(artifact.files)
    assert artifact.counts["method"] == name
    steered = load_steered(model_folder, recipe(artifact.path, METHODS.get(name).args.strengths[0]))
    (row,) = steered.generate(["the garden"], Sampling(max_new_tokens=4, samples=2))
    assert len(row) == 2
    assert steered.cross_entropy(["thank you for the book"]).per_token > 0
    page = POSTTRAIN.show(artifact)
    assert name in page.title
    assert name in page.html
    assert POSTTRAIN.plan(spec(model_folder, mixture, method)).tables


def test_the_same_fit_gives_the_same_bytes(model_folder: Path, mixture: Path, tmp_path: Path) -> None:
    given = spec(model_folder, mixture, {"name": "iti", "top_heads": 3})
    first, second = run(tmp_path / "a", given), run(tmp_path / "b", given)
    assert first.fingerprint == second.fingerprint
    assert first.files == second.files


def test_fingerprint_follows_what_matters_and_nothing_else(model_folder: Path, mixture: Path, tmp_path: Path) -> None:
    base = POSTTRAIN.fingerprint(spec(model_folder, mixture, "iti"))
    assert POSTTRAIN.fingerprint(spec(model_folder, mixture, "iti", name="y")) == base
    assert POSTTRAIN.fingerprint(spec(model_folder, mixture, "iti", seed=1)) != base
    assert POSTTRAIN.fingerprint(spec(model_folder, mixture, {"name": "iti", "positions": "all"})) != base
    other = save_model(tmp_path / "other", hidden_size=64)
    assert POSTTRAIN.fingerprint(spec(other, mixture, "iti")) != base
    prompt = POSTTRAIN.fingerprint(spec(model_folder, mixture, "prompt"))
    assert POSTTRAIN.fingerprint(spec(model_folder, mixture, "prompt", seed=1, labelled=None)) == prompt


def test_page_shows_heads_by_accuracy_and_frames_the_edited_ones(
    model_folder: Path, mixture: Path, tmp_path: Path
) -> None:
    page = POSTTRAIN.show(run(tmp_path / "a", spec(model_folder, mixture, {"name": "iti", "top_heads": 3})))
    rows = page.tables[1].rows
    assert len(rows) == 8
    assert [row[3] for row in rows] == sorted((row[3] for row in rows), reverse=True)
    assert [row[4] for row in rows] == ["yes"] * 3 + [""] * 5
    assert page.html.count("<rect") == 8
    assert page.html.count("stroke-width") == 3


def test_steering_is_refused_on_a_model_of_another_shape(model_folder: Path, mixture: Path, tmp_path: Path) -> None:
    artifact = run(tmp_path / "a", spec(model_folder, mixture, "sasa"))
    wider = save_model(tmp_path / "wider", hidden_size=64)
    with pytest.raises(InputError, match=r"fitted on a model with 2 layers x 4 heads x 8.*has 2 layers x 4 heads x 16"):
        load_steered(wider, recipe(artifact.path, 10.0))


def test_damaged_and_missing_steering_is_one_clear_error(model_folder: Path, mixture: Path, tmp_path: Path) -> None:
    artifact = run(tmp_path / "a", spec(model_folder, mixture, "sasa"))
    with pytest.raises(InputError, match=r"no steering\.json"):
        load_fitted(tmp_path)
    record = json.loads((artifact.path / "steering.json").read_text())
    (artifact.path / "steering.json").write_text("{")
    with pytest.raises(ArtifactError, match="the artifact is damaged"):
        load_fitted(artifact.path)
    (artifact.path / "artifact.json").unlink()  # a copy of the two files alone
    args = record["args"] | {"folds": "many"}
    for broken, message in [
        ("{", "invalid JSON"), ("[]", r"steering\.json: input should be an object"),
        (json.dumps(record | {"format": 99}), "not in the format"),
        ('{"format": 1}', r"steering\.json: args: missing"),
        (json.dumps(record | {"args": args}), r"args.sasa.folds: .*valid integer"),
        (json.dumps(record | {"facts": {"texts": "60"}}), r"facts.texts: .*valid integer"),
    ]:  # fmt: skip
        (artifact.path / "steering.json").write_text(broken)
        with pytest.raises(ArtifactError, match=message):
            load_fitted(artifact.path)
    (artifact.path / "steering.json").write_text(json.dumps(record))
    (artifact.path / "steering.safetensors").write_bytes(b"\x80\x04not a tensor file")
    with pytest.raises(ArtifactError, match="damaged"):
        load_fitted(artifact.path)


@pytest.mark.parametrize("name", ["steering.json", "steering.safetensors"])
def test_a_flipped_byte_of_steering_is_noticed(model_folder: Path, mixture: Path, tmp_path: Path, name: str) -> None:
    artifact = run(tmp_path / "a", spec(model_folder, mixture, "sasa"))
    flip(artifact.path / name)
    with pytest.raises(ArtifactError, match=rf"{name}: content differs from its checksum, so the posttrain artifact"):
        load_steered(model_folder, recipe(artifact.path, 1.0))


def test_a_flipped_byte_of_weights_is_noticed(model_folder: Path, tmp_path: Path) -> None:
    trained = tmp_path / "trained"
    shutil.copytree(model_folder, trained / "hf")
    about = {"kind": "pretrain", "version": 1, "fingerprint": "f" * 64, "started": now()}
    write_manifest(trained, describe_files(trained), config={}, inputs={}, counts={}, notes=[], **about)
    load_model(str(trained), "cpu")
    flip(trained / "hf" / "model.safetensors")
    for location in (trained, trained / "hf"):
        with pytest.raises(ArtifactError, match=r"model\.safetensors: content differs"):
            load_model(str(location), "cpu")


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-2] ^= 1
    file.write_bytes(content)


def test_what_is_not_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no config\.json here"):
        load_model(str(tmp_path))
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(InputError, match="cannot be loaded"):
        load_model(str(tmp_path))


def test_wrong_yaml_is_refused_with_what_is_allowed(model_folder: Path, mixture: Path) -> None:
    with pytest.raises(ValidationError, match="'none', 'prompt', 'rad', 'sasa'"):
        spec(model_folder, mixture, "itti")
    with pytest.raises(ValidationError, match="is fitted on labelled text: give `labelled:`"):
        spec(model_folder, mixture, "sasa", labelled=None)
    with pytest.raises(ValidationError, match="extra_forbidden"):
        spec(model_folder, mixture, {"name": "none", "top_heads": 3})
    with pytest.raises(InputError, match="method sasa: max_candidates: Input should be greater than or equal to 1"):
        method_spec("sasa", {"max_candidates": 0})
    with pytest.raises(InputError, match="method word_filter: list words under"):
        method_spec("word_filter", {})


def test_side_by_side_has_the_plain_model_first(model_folder: Path, mixture: Path, tmp_path: Path) -> None:
    folders = [run(tmp_path / name, spec(model_folder, mixture, name)).path for name in ("iti", "sasa")]
    prompts = ["the garden", "you"]
    iti, sasa = folders
    recipes = [parse_recipe(text) for text in (f"{iti}@4", str(sasa), f"{iti}@2, {sasa}@10")]
    columns = generate_side_by_side(model_folder, prompts, recipes, Sampling(max_new_tokens=5))
    assert [column.heading for column in columns] == ["unsteered", "iti 4", "sasa 1", "iti 2 + sasa 10"]
    assert all(len(column.generations) == 2 for column in columns)


@pytest.mark.parametrize("text", ["runs/iti@strong", "runs/iti@-1", "runs/iti@2,@3", ""])
def test_a_recipe_that_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="FOLDER@STRENGTH"):
        parse_recipe(text)


def test_declarations_import_no_heavy_library() -> None:
    """`validate`, `plan` and `schema` come through these modules and have to start at once."""
    code = "import sys, posttrain.stage; print([m for m in ('torch', 'transformers', 'sklearn') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
