"""How well generations read: nothing is generated for it, and what it counts is counted by hand here.

Covers analysis.evaluations.fluency, analysis.statistics.fluency and analysis.report.entropy_tables.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch

from analysis import results
from analysis.evaluations.fluency import distinct, nats_of, repeated
from analysis.report.entropy_tables import fluency_tables
from analysis.results import FLUENCY, Labels, Row, Score, named_score
from analysis.spec import AnalysisSpec
from analysis.stage import ANALYSIS
from analysis.statistics.fluency import fluency_table
from infra.stages.stage import run_stage
from posttrain.model import CausalModel, load_model
from posttrain.spec import PosttrainSpec
from posttrain.stage import POSTTRAIN
from posttrain.steered import Steered

PROMPTS = ["the man in the street said", "i think the river", "you stupid"]


def spec_of(model: Path, folder: Path, **changes: Any) -> AnalysisSpec:
    path = folder / "prompts.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in PROMPTS))
    toxicity = {"prompts": {"path": str(path)}, "samples": 3, "max_new_tokens": 8, "scorer": {"name": "profanity"}}
    given = {"name": "tiny", "model": str(model), "device": "cpu", "toxicity": toxicity, "fluency": {}}
    return AnalysisSpec.model_validate(given | changes)


def measured(spec: AnalysisSpec, target: Path) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The rows of fluency, and those of the generations that it looks at."""
    table = results.read([run_stage(ANALYSIS, spec, target, quiet=True).path / results.FILE])
    return table.filter(evaluation=FLUENCY), table.filter(evaluation="toxicity")


def by_hand(model: CausalModel, prompt: str, text: str) -> tuple[float, int]:
    """Nats of a text behind its prompt by the network's own forward over both."""
    head, ids = ([model.start, *model.encode([prompt])[0]], model.encode([text])[0])
    with torch.inference_mode():
        log_p = model.network(input_ids=torch.tensor([[*head, *ids]])).logits[0].double().log_softmax(-1)
    return -sum(float(log_p[len(head) + n - 1, token]) for n, token in enumerate(ids)), len(ids)


def test_a_text_costs_what_the_unsteered_model_says_of_it_behind_its_prompt(model: CausalModel) -> None:
    texts = [("thank you for", " the book"), ("you", ""), ("", " idiot"), ("a calm reply " * 60, " and then " * 70)]
    own = nats_of(model, texts)
    for (nats, tokens), (prompt, text) in list(zip(own, texts, strict=True))[:3]:
        assert (nats, tokens) == pytest.approx(by_hand(model, prompt, text), rel=1e-5)
    assert math.isfinite(own[3][0]) and own[3][1] == model.max_positions  # a longer text is read to there
    assert nats_of(model, []) == []


def test_distinct_counts_words_of_all_texts_and_repetition_tokens_of_one() -> None:
    assert distinct(["a b a", "a c"], 1) == pytest.approx(3 / 5)
    assert distinct(["a b a", "a c"], 2) == pytest.approx(3 / 5)
    assert distinct(["", " "], 1) is None
    assert repeated([1, 2, 3, 4, 1, 2, 3, 4], 4) == pytest.approx(1 - 4 / 5)
    assert repeated([1, 2, 3, 4], 4) == 0.0


def test_rows_are_of_the_very_generations_that_toxicity_scores(tiny_model: Path, tmp_path: Path) -> None:
    """Under ITI: the text is the steered model's, the likelihood the plain one's; the judge is the model itself."""
    labels = tmp_path / "labels.jsonl"
    rows = [
        {"text": f"you {word} number {n}", "label": word == "idiot"} for n in range(15) for word in ("idiot", "saint")
    ]
    labels.write_text("".join(json.dumps(row) + "\n" for row in rows))
    method = {"name": "iti", "top_heads": 4, "folds": 2}
    iti = {"name": "iti", "model": str(tiny_model), "method": method, "device": "cpu",
           "labelled": {"path": str(labels), "per_class": 10}}  # fmt: skip
    steering = run_stage(POSTTRAIN, PosttrainSpec.model_validate(iti), tmp_path / "iti", quiet=True).path
    changes = {"recipe": [{"steering": str(steering), "strength": 20}], "fluency": {"judge": str(tiny_model)}}
    fluent, written = measured(spec_of(tiny_model, tmp_path, **changes), tmp_path / "out")
    key = ["prompt", "sample"]
    assert fluent.select(key).equals(written.select(key)) and len(fluent) == 9
    model = load_model(str(tiny_model), "cpu")
    for row, text in zip(fluent.to_dicts(), written.to_dicts(), strict=True):
        nats, tokens = by_hand(model, PROMPTS[row["prompt"]], text["generation"])
        assert row["value"] == pytest.approx(nats / tokens, rel=1e-4) and row["tokens"] == tokens
        scores = {score["attribute"]: score["score"] for score in row["scores"]}
        assert scores["judge nats"] == pytest.approx(nats, rel=1e-4) and scores["judge tokens"] == tokens
        assert scores["length"] == text["tokens"] and scores["ended"] == float(text["tokens"] < 8)
    texts = written.filter(prompt=0)["generation"].to_list()
    seen = fluent.filter(prompt=0).select(named_score("distinct-2")).to_series().to_list()
    assert seen == pytest.approx([distinct(texts, 2)] * 3)


def test_nothing_is_generated_for_it_and_another_judge_leaves_the_generations(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fluent, _ = measured(spec_of(tiny_model, tmp_path), tmp_path / "with")
    monkeypatch.setattr(Steered, "generate", None)
    judged, _ = measured(spec_of(tiny_model, tmp_path, fluency={"judge": str(tiny_model)}), tmp_path / "judged")
    assert judged["value"].to_list() == fluent["value"].to_list()
    assert fluent.select(named_score("judge nats")).to_series().null_count() == 9


def test_the_judge_is_part_of_the_work_and_toxicity_is_needed(tiny_model: Path, tmp_path: Path) -> None:
    spec = spec_of(tiny_model, tmp_path)
    assert ANALYSIS.fingerprint(spec) != ANALYSIS.fingerprint(
        spec_of(tiny_model, tmp_path, fluency={"judge": str(tiny_model)})
    )
    with pytest.raises(ValueError, match="give `toxicity:`"):
        AnalysisSpec.model_validate({"name": "x", "model": "m", "fluency": {}})


def row(prompt: int, sample: int, value: float | None, **scores: float) -> Row:
    named = {name.replace("_", "-") if name.startswith(("distinct", "rep")) else name.replace("_", " "): score
             for name, score in scores.items()}  # fmt: skip
    return Row(prompt=prompt, sample=sample, prompt_id=f"p{prompt}", value=value, tokens=4 if value else 0,
               scores=tuple(Score("", name, float(score)) for name, score in named.items()))  # fmt: skip


def test_the_table_leaves_empty_texts_out_of_perplexity_and_counts_them() -> None:
    rows = [
        row(0, 0, 2.0, distinct_2=0.5, rep_4=0.0, length=4, ended=0, judge_nats=12, judge_tokens=6),
        row(0, 1, None, distinct_2=0.5, length=0, ended=1),
        row(1, 0, 4.0, distinct_2=0.7, rep_4=0.5, length=4, ended=1, judge_nats=12, judge_tokens=2),
        row(1, 1, 3.0, distinct_2=0.7, length=4, ended=0, judge_nats=6, judge_tokens=2),
    ]
    table = fluency_table(results.frame(Labels("clean", 0.0, "keep", "m", 0, "none", 0.0), FLUENCY, rows))
    (cell,) = table.to_dicts()
    assert cell["perplexity"] == pytest.approx(math.exp(3.0)) and cell["judge_perplexity"] == pytest.approx(math.exp(3))
    assert (cell["distinct_2"], cell["repeated_4"], cell["ended"]) == pytest.approx((0.6, 0.25, 0.5))
    assert (cell["generations"], cell["empty"], cell["distinct_3"]) == (4, 1, None)
    assert cell["perplexity_low"] <= cell["perplexity"] <= cell["perplexity_high"]
    (shown,) = fluency_tables(table)
    assert shown.rows[0][:3] == ("main", "clean", "none") and shown.rows[0][-1] == 1
    assert fluency_tables(fluency_table(pl.DataFrame(schema=results.SCHEMA))) == []
