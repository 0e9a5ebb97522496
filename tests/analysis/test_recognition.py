"""Recognition: held-out probabilities as scikit-learn gives them, and what a recipe changes of them.

Covers analysis.evaluations.recognition and posttrain.text_probe.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from analysis import results
from analysis.evaluations.base import LazyModel, Subject
from analysis.evaluations.options import RecognitionSpec
from analysis.evaluations.recognition import Recognition
from analysis.spec import AnalysisSpec
from analysis.stage import ANALYSIS
from infra.errors import AmountError, InputError
from infra.stages.stage import Workspace, run_stage
from posttrain import activations
from posttrain.activations import last_token
from posttrain.labelled import Labelled, read_labelled
from posttrain.methods.base import EditedPositions
from posttrain.model import load_model
from posttrain.spec import LabelledFileSpec, PosttrainSpec
from posttrain.stage import POSTTRAIN
from posttrain.steered import Steered
from posttrain.text_probe import held_out_probabilities
from tests.analysis.conftest import BENIGN, TOPICS, TOXIC


def spec_of(model: Path, **changes: Any) -> AnalysisSpec:
    given = {"name": "tiny", "model": str(model), "recognition": {"folds": 2, **changes.pop("recognition", {})}}
    return AnalysisSpec.model_validate(given | changes)


def measured(spec: AnalysisSpec, target: Path) -> pl.DataFrame:
    return results.read([run_stage(ANALYSIS, spec, target, quiet=True).path / results.FILE])


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    path = tmp_path / "civil.jsonl"
    lines = [{"comment": form.format(topic) + f" {i}", "toxicity": score}
             for i, topic in enumerate(TOPICS * 2) for form, score in ((BENIGN, 0.2), (TOXIC, 0.7))]  # fmt: skip
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def civil(path: Path, per_class: int = 12) -> dict[str, Any]:
    return {"texts": {"path": str(path), "text": "comment", "label": "toxicity", "per_class": per_class}}


@pytest.mark.parametrize(("n", "width"), [(120, 8), (40, 60)])
def test_probabilities_are_those_of_scikit_learn(n: int, width: int) -> None:
    rng = np.random.default_rng(0)
    toxic = np.arange(n) % 2 == 0
    states = (rng.normal(size=(n, width)) * rng.uniform(0.1, 30, width) + toxic[:, None]).astype(np.float32)
    groups = np.arange(n) // 4
    ours = held_out_probabilities(states, toxic, groups, folds=4, seed=1)
    reference = make_pipeline(StandardScaler(), LogisticRegression(tol=1e-10, max_iter=5000))
    splits = [(np.flatnonzero(ours.fold != fold), np.flatnonzero(ours.fold == fold)) for fold in range(4)]
    theirs = cross_val_predict(reference, states.astype(np.float64), toxic, cv=splits, method="predict_proba")[:, 1]
    np.testing.assert_allclose(ours.probability, theirs, atol=1e-6)
    assert (ours.fitted_on == [np.sum(ours.fold != fold) for fold in ours.fold]).all()


def test_no_probe_has_seen_the_document_that_it_judges() -> None:
    """Labels are drawn anew for every document and the states say which document it is: only a leak could help."""
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(60), 8)
    toxic = rng.random(60)[groups] < 0.5
    states = rng.normal(size=(60, 40))[groups].astype(np.float32)
    probability = held_out_probabilities(states, toxic, groups, folds=5, seed=0).probability
    assert np.mean((probability > 0.5) == toxic) < 0.62


def test_states_that_are_no_numbers_have_no_value_and_say_why(tiny_model: Path, texts: Path, tmp_path: Path) -> None:
    subject = Subject(LazyModel(str(tiny_model), "cpu"), Workspace(tmp_path / "work", tmp_path / "store"))
    subject.workspace.path.mkdir()
    subject.steered.model.network.get_input_embeddings().weight.data.fill_(float("nan"))
    rows = Recognition(RecognitionSpec.model_validate(civil(texts)), subject).rows(0)
    assert {(row.value, row.reason) for row in rows} == {(None, "the model's states are no numbers")}


def test_rows_name_the_text_its_class_and_the_fold(tiny_model: Path, texts: Path, tmp_path: Path) -> None:
    table = measured(spec_of(tiny_model, recognition={**civil(texts), "layers": [0, 1]}), tmp_path / "tiny")
    assert table["instance"].value_counts().sort("instance").rows() == [(None, 24), ("layer 0", 24), ("layer 1", 24)]
    main = results.main(table)
    assert dict(main["group"].value_counts().rows()) == {"toxic": 12, "benign": 12}
    assert main["value"].is_between(0, 1).all() and set(main["sample"]) == {0, 1}
    assert main["prompt_id"].n_unique() == 24 and set(main["prompt_id"]) == set(table["prompt_id"])
    drawn = read_labelled(LabelledFileSpec.model_validate(civil(texts)["texts"]), 0)
    states = last_token(load_model(str(tiny_model), "cpu"), drawn.texts)
    for instance, features in ((None, states.hidden), ("layer 1", states.residual[1])):
        expected = held_out_probabilities(features, drawn.toxic, drawn.groups, 2, 0).probability
        rows = table.filter(pl.col("instance").eq_missing(pl.lit(instance))).sort("prompt")
        np.testing.assert_allclose(rows["value"], expected, atol=1e-4)


def test_a_recipe_is_read_through(model: Any, labelled: Labelled, iti: Steered) -> None:
    """Under ITI the last token's state is that of the edited network; a prefix stands before the text."""
    plain = last_token(model, labelled.texts[:4])
    with iti.stack.editing(EditedPositions(everywhere=True)):
        edited = last_token(model, labelled.texts[:4])
    assert np.abs(edited.hidden - plain.hidden).max() > 0.01 and np.abs(edited.heads - plain.heads).max() > 0.01
    said = model.encode(["you are kind "])[0]
    behind = last_token(model, labelled.texts[:4], prefix=said)
    alone = last_token(model, ["you are kind " + text for text in labelled.texts[:4]])
    assert np.abs(behind.hidden - plain.hidden).max() > 0.01 and behind.hidden.shape == alone.hidden.shape
    with pytest.raises(InputError, match="fills the model's"):
        last_token(model, labelled.texts[:4], prefix=[model.end] * model.max_positions)


def test_steering_is_in_the_measured_model(tiny_model: Path, mixture: Path, texts: Path, tmp_path: Path) -> None:
    given = {"name": "iti", "model": str(tiny_model), "method": {"name": "iti", "folds": 2, "top_heads": 4},
             "labelled": {"mixture": str(mixture), "per_class": 10}}  # fmt: skip
    fitted = run_stage(POSTTRAIN, PosttrainSpec.model_validate(given), tmp_path / "iti", quiet=True)
    plain = measured(spec_of(tiny_model, recognition=civil(texts)), tmp_path / "plain")
    recipe = [{"steering": str(fitted.path), "strength": 20}]
    steered = measured(spec_of(tiny_model, recognition=civil(texts), recipe=recipe), tmp_path / "steered")
    assert steered["prompt_id"].to_list() == plain["prompt_id"].to_list()
    assert steered["value"].to_list() != plain["value"].to_list()


def test_texts_of_the_study_are_read_once(
    tiny_model: Path, mixture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labelled = {"mixture": str(mixture), "per_class": 10, "seed": 0}
    first = measured(spec_of(tiny_model, labelled=labelled, mixture=str(mixture)), tmp_path / "first")
    monkeypatch.setattr(activations, "last_token", None)  # another pass would fail
    again = spec_of(tiny_model, labelled=labelled, mixture=str(mixture), recognition={"seed": 1})
    table = measured(again, tmp_path / "again")
    assert table["prompt_id"].to_list() == first["prompt_id"].to_list()
    assert table["value"].to_list() != first["value"].to_list()  # of other folds


def test_what_cannot_be_measured_is_one_message(tiny_model: Path, texts: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="give `texts:` to it, or `labelled:`"):
        measured(spec_of(tiny_model), tmp_path / "none")
    with pytest.raises(InputError, match="no layer 2; the model has 2, from 0 on"):
        measured(spec_of(tiny_model, recognition={**civil(texts), "layers": [2]}), tmp_path / "layer")
    with pytest.raises(AmountError, match="per_class"):
        measured(spec_of(tiny_model, recognition=civil(texts, per_class=99)), tmp_path / "few")


def test_other_texts_are_other_work(tiny_model: Path, texts: Path, tmp_path: Path) -> None:
    def fingerprint(path: Path) -> str:
        return ANALYSIS.fingerprint(spec_of(tiny_model, recognition=civil(path)))

    moved = tmp_path / "other" / texts.name
    moved.parent.mkdir()
    moved.write_bytes(texts.read_bytes())
    assert fingerprint(moved) == fingerprint(texts)
    moved.write_text(texts.read_text().replace("0.7", "0.8"))
    assert fingerprint(moved) != fingerprint(texts)
