"""Geometry of a real (tiny) model through the evaluation `probes`, and what of it is shown.

Covers analysis.geometry.spectrum, analysis.geometry.attributes, analysis.geometry.head_probes, analysis.geometry.view,
analysis.statistics.geometry and posttrain.token_scores.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from analysis import results
from analysis.evaluations.options import ProbesSpec
from analysis.geometry.attributes import attribute_entanglement
from analysis.geometry.spectrum import effective_rank
from analysis.geometry.view import geometry_tables, token_view
from analysis.report import geometry_tables as report_tables
from analysis.spec import AnalysisSpec
from analysis.stage import ANALYSIS
from analysis.statistics.geometry import geometry_table
from infra.errors import AmountError, InputError
from infra.stages.stage import run_stage
from posttrain.activations import at_last_token
from posttrain.labelled import Labelled
from posttrain.model import load_model
from posttrain.probes import load_probes
from posttrain.token_scores import head_outputs


def spec_of(model: Path, mixture: Path, **probes: Any) -> AnalysisSpec:
    given = {
        "name": "tiny", "model": str(model), "mixture": str(mixture), "seed": 3,
        "labelled": {"mixture": str(mixture), "per_class": 10}, "probes": {"folds": 2, **probes},
    }  # fmt: skip
    return AnalysisSpec.model_validate(given)


def test_effective_rank_counts_directions() -> None:
    random = np.random.default_rng(0)
    flat = np.linalg.qr(random.standard_normal((50, 6)))[0]
    flat -= flat.mean(0)
    even = flat @ np.linalg.inv(np.linalg.cholesky(flat.T @ flat).T)  # equal singular values
    assert effective_rank(even) == pytest.approx(6)
    assert effective_rank(np.outer(random.standard_normal(50), np.ones(6)) + 5) == pytest.approx(1)
    assert effective_rank(np.stack([np.ones((9, 3)), random.standard_normal((9, 3))]))[0] == 0
    assert 1 < effective_rank(even * [10, 1, 1, 1, 1, 1]) < 6


def test_geometry_is_in_rows_of_its_own_and_accuracy_is_as_without(
    tiny_model: Path, mixture: Path, tmp_path: Path
) -> None:
    plain = run_stage(ANALYSIS, spec_of(tiny_model, mixture), tmp_path / "plain", quiet=True)
    artifact = run_stage(
        ANALYSIS, spec_of(tiny_model, mixture, geometry=True, token_texts=3), tmp_path / "tiny", quiet=True
    )
    table, alone = (results.read([each.path / results.FILE]) for each in (artifact, plain))
    assert results.main(table).equals(alone)
    counts = dict(table.filter(pl.col("instance") != "tokens")["instance"].value_counts().rows())
    assert counts == {"margin": 8, "effective_rank": 8, "residual_effective_rank": 2}
    tokens = table.filter(instance="tokens")
    assert tokens["value"].is_between(0, 1).all() and set(tokens["prompt"]) == {0, 1, 2}
    assert tokens.select("prompt", "group").unique()["group"].sort().to_list() == ["benign", "toxic", "toxic"]
    page = ANALYSIS.show(artifact)
    assert page.html.count("class=veil") == 3 and "Probes over texts" in page.html
    assert {"Geometry", "Texts by the probes"} <= {shown.title for shown in page.tables}
    text = "".join(tokens.filter(prompt=0)["generation"])
    assert not any(text in str(shown.rows) for shown in page.tables)  # a terminal has no veil


def test_coefficients_are_kept_in_the_store(tiny_model: Path, mixture: Path, tmp_path: Path) -> None:
    run_stage(ANALYSIS, spec_of(tiny_model, mixture), tmp_path / "runs" / "tiny", quiet=True)
    (folder,) = (tmp_path / "runs").glob("*/probes-????????????")
    probes = load_probes(folder)
    assert probes.coefficients.shape[:2] == probes.intercepts.shape == probes.margin.shape == (2, 4)


def test_options_of_earlier_files_have_their_fingerprints() -> None:
    assert ProbesSpec().identity() == {"folds": 5, "seed": 0}
    assert ProbesSpec(geometry=True, token_texts=2).identity().keys() == {"folds", "seed", "geometry", "token_texts"}


def test_more_texts_than_leave_any_to_fit_on_are_refused(tiny_model: Path, mixture: Path, tmp_path: Path) -> None:
    with pytest.raises(AmountError, match="token_texts is 400"):
        run_stage(ANALYSIS, spec_of(tiny_model, mixture, token_texts=400), tmp_path / "tiny", quiet=True)


def test_an_attribute_is_not_entangled_with_itself(tiny_model: Path, mixture: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds toxicity"):
        spec = spec_of(tiny_model, mixture, attributes=["toxicity"])
        run_stage(ANALYSIS, spec, tmp_path / "tiny", quiet=True)


def test_attributes_of_a_mixture_are_entangled_layer_by_layer(tiny_model: Path, mixture: Path, tmp_path: Path) -> None:
    spec = spec_of(tiny_model, mixture, attributes=["insult"])
    artifact = run_stage(ANALYSIS, spec, tmp_path / "tiny", quiet=True)
    table = results.read([artifact.path / results.FILE]).filter(pl.col("instance").is_not_null())
    counts = dict(table["instance"].value_counts().rows())
    assert counts == {f"entanglement_{name}": 2 for name in ("logistic", "mass_mean", "lda")}
    assert set(table["prompt_id"]) == {"layer 0, nearest insult", "layer 1, nearest insult"}
    assert table.filter(instance="entanglement_mass_mean")["value"].min() > 0.8  # the same lines have both
    titles = [shown.title for shown in ANALYSIS.show(artifact).tables]
    assert "Entanglement by layer" in titles


def test_heads_at_every_token_are_those_at_the_last_one(tiny_model: Path) -> None:
    model = load_model(str(tiny_model), "cpu")
    ids = [model.start, *model.encode(["the man in the street"])[0]]
    last = at_last_token(model, [ids]).heads[0].unflatten(-1, (model.layout.heads, -1))
    every = head_outputs(model, ids, [(1, 2), (0, 1)])
    assert every.shape[:2] == (len(ids), 2)
    torch.testing.assert_close(every[-1], torch.stack([last[1, 2], last[0, 1]]))


def test_attributes_of_the_same_texts_are_one_direction_and_the_nearest_is_named(tiny_model: Path) -> None:
    model = load_model(str(tiny_model), "cpu")
    random = np.random.default_rng(0)
    words = ["the", "man", "street", "dog", "house", "said", "is", "bad", "good", "old"]
    texts = tuple(" ".join(random.choice(words, 6)) for _ in range(60))
    toxic, other = random.random(60) < 0.5, random.random(60) < 0.5
    labels = {"toxicity": toxic, "threat": other, "insult": ~toxic}
    found = attribute_entanglement({name: Labelled(texts, of, np.arange(60)) for name, of in labels.items()}, model)
    assert len(found) == model.layout.layers * 3 and {at.nearest for at in found} == {"insult"}
    assert [at.entanglement for at in found] == pytest.approx([1.0] * len(found), abs=1e-6)
    two = {name: Labelled(texts, labels[name], np.arange(60)) for name in ("toxicity", "threat")}
    apart = attribute_entanglement(two, model)
    assert all(at.entanglement < 0.9 and at.nearest == "threat" for at in apart)


def rows(values: dict[str, list[float]], dose: float, seed: int) -> pl.DataFrame:
    """A results table of figures by instance."""
    labels = results.Labels("arm", dose, "keep", f"dose-{dose:g}", seed, "none", 0.0)
    return results.frame(labels, results.PROBES, [
        results.Row(instance=instance, prompt=i, prompt_id=str(i), value=value, tokens=4)
        for instance, figures in values.items() for i, value in enumerate(figures)
    ])  # fmt: skip


def test_figures_of_arms_are_compared_seed_by_seed() -> None:
    table = pl.concat([rows({"margin": [1.0 + seed, 3.0 + seed + 4 * dose]}, dose, seed)
                       for dose in (0.0, 0.25) for seed in range(3)])  # fmt: skip
    clean, risky = geometry_table(table).to_dicts()
    assert clean["value"] == pytest.approx(3.0) and clean["above_clean"] is None
    assert risky["above_clean"] == risky["above_clean_low"] == pytest.approx(0.5)  # the same under every seed
    assert risky["value_low"] < risky["value"] < risky["value_high"]
    (shown,) = report_tables.geometry_table(geometry_table(table))
    assert shown.rows[1][1] == "25 % keep" and "+0.500" in str(shown.rows[1][4])
    assert geometry_table(table.clear()).is_empty() and report_tables.geometry_table(pl.DataFrame()) == []


def test_texts_are_veiled_and_escaped() -> None:
    labels = results.Labels("arm", 0.0, "keep", "m", 0, "none", 0.0)
    pieces = ["<script>", " you", " é"]
    told = {"instance": "tokens", "prompt": 0, "prompt_id": "text 0", "group": "toxic", "tokens": 4}
    table = results.frame(labels, results.PROBES, [
        results.Row(sample=i, generation=piece, value=0.25 * (i + 1), **told) for i, piece in enumerate(pieces)
    ])  # fmt: skip
    page = token_view(table)
    assert "<script>" not in page and "&lt;script&gt;</mark>" in page and page.count("<mark") == 3
    assert geometry_tables(table)[0].rows == (("text 0", "toxic", 0.5, 0.75),)
    assert token_view(table.clear()) == ""
