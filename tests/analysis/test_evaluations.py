"""Evaluations on a tiny model, through the stage: what is measured, what is refused, what a kill leaves.

Covers analysis.stage, analysis.spec, analysis.strengths, analysis.page, analysis.evaluations.base,
analysis.evaluations.options, analysis.evaluations.held_out, analysis.evaluations.cross_entropy,
analysis.evaluations.probes, analysis.evaluations.toxicity and analysis.measured.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from safetensors.torch import load_file, save_file

from analysis import results
from analysis.evaluations import EVALUATIONS, toxicity
from analysis.evaluations.base import LazyModel, Subject
from analysis.evaluations.options import CrossEntropySpec
from analysis.evaluations.toxicity import scored_rows
from analysis.measured import measured, read_rows, write_rows
from analysis.spec import AnalysisSpec, BudgetDocumentsSpec
from analysis.stage import ANALYSIS
from analysis.strengths import budget_documents
from curation.scorers.base import Card, Scorer
from curation.scorers.options import EnsembleSpec, ProfanitySpec, ScorerSpec
from curation.scorers.profanity import Profanity
from infra.errors import AmountError, InputError, ScoringError
from infra.stages.stage import Workspace, run_stage
from posttrain import activations
from posttrain.spec import PosttrainSpec
from posttrain.stage import POSTTRAIN
from posttrain.steered import Steered


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    path = tmp_path / "prompts.jsonl"
    lines = [{"prompt": {"text": f"the man in the street number {i} said", "toxicity": i / 10}} for i in range(6)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def spec_of(model: Path, mixture: Path, prompts: Path, /, **changes: Any) -> AnalysisSpec:
    toxicity = {
        "prompts": {"path": str(prompts), "text": "prompt.text"}, "stored_scores": {"toxicity": "prompt.toxicity"},
        "samples": 2, "max_new_tokens": 6, "scorer": {"name": "profanity"},
    }  # fmt: skip
    given = {
        "name": "tiny", "model": str(model), "mixture": str(mixture),
        "labelled": {"mixture": str(mixture), "per_class": 10},
        "arm": {"name": "clean", "dose": 0.0, "policy": "keep", "mixture": "dose-0"}, "seed": 3, "toxicity": toxicity,
        "cross_entropy": {"component": "clean", "max_documents": 5}, "probes": {"folds": 2},
    }  # fmt: skip
    return AnalysisSpec.model_validate({**given, **changes})


class Moody(Scorer):
    """Fails on any batch that holds the word `boom`, as a scorer with a bad text would."""

    options = ScorerSpec
    attributes = ("toxicity", "insult")
    identity = "moody@1"

    @classmethod
    def load(cls, spec: Any) -> Moody:
        return cls()

    @staticmethod
    def weights(spec: Any) -> str:
        return "1"

    @staticmethod
    def card(spec: Any) -> Card:
        return Card(("en",), "none")

    def _raw_scores(self, texts: list[str]) -> np.ndarray:
        if any("boom" in text for text in texts):
            raise RuntimeError("cannot read this")
        return np.array([[len(text) / 100, 0.5] for text in texts], np.float32)


def unscored(*texts: str) -> list[results.Row]:
    return [
        results.Row(prompt=0, sample=i, prompt_id="p", generation=t, value=None, tokens=1) for i, t in enumerate(texts)
    ]


def test_one_failing_text_costs_one_score_and_is_never_harmless() -> None:
    rows = scored_rows(unscored("hello", "boom", "", "  \n", "good day"), [Moody()], "toxicity")
    assert [row.value is None for row in rows] == [False, True, True, True, False]
    assert rows[1].reason and "cannot read this" in rows[1].reason
    assert rows[2].reason == rows[3].reason == "empty continuation"
    scorer = Moody().full_identity
    assert rows[0].scores == (
        results.Score(scorer, "toxicity", pytest.approx(0.05)), results.Score(scorer, "insult", 0.5)
    )  # fmt: skip


def test_scorer_that_fails_on_everything_stops_the_job_and_is_asked_anew_when_it_is_mended(
    tiny_model: Path, mixture: Path, prompts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = spec_of(tiny_model, mixture, prompts, probes=None, cross_entropy=None)
    with monkeypatch.context() as patch:
        patch.setattr("curation.scorers.profanity.Profanity._raw_scores", _broken)
        with pytest.raises(ScoringError, match="none of 12"):
            run_stage(ANALYSIS, spec, tmp_path / "tiny", quiet=True)
    monkeypatch.setattr(Steered, "generate", _stop)
    assert run_stage(ANALYSIS, spec, tmp_path / "tiny", quiet=True).counts["unscored"] == 0


def _broken(*_: object) -> np.ndarray:
    raise RuntimeError("no weights")


def test_cross_entropy_that_is_no_number_has_no_value_and_says_why(
    tiny_model: Path, mixture: Path, tmp_path: Path
) -> None:
    workspace = Workspace(tmp_path / "work", tmp_path / "store")
    subject = Subject(LazyModel(str(tiny_model), "cpu"), workspace, mixture=str(mixture))
    weights = subject.steered.model.network.get_output_embeddings().weight.data
    weights.fill_(float("nan"))
    rows = EVALUATIONS.get("cross_entropy")(CrossEntropySpec(max_documents=2), subject).rows(0)
    assert [(row.value, row.reason) for row in rows] == [(None, "the cross-entropy is nan")] * 2


def test_probes_read_the_pass_that_a_method_was_fitted_on(
    tiny_model: Path, mixture: Path, prompts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The seed of the labels is the method's, as a study writes it, and not that of the probes."""
    labelled = {"mixture": str(mixture), "per_class": 10}
    given = {"name": "iti", "model": str(tiny_model), "method": {"name": "iti", "folds": 2}, "labelled": labelled}
    run_stage(POSTTRAIN, PosttrainSpec.model_validate(given | {"seed": 3}), tmp_path / "steer", quiet=True)
    only = {"toxicity": None, "cross_entropy": None, "labelled": labelled | {"seed": 3}}
    spec = spec_of(tiny_model, mixture, prompts, **only)
    alone = run_stage(ANALYSIS, spec, tmp_path / "alone" / "tiny", quiet=True)
    monkeypatch.setattr(activations, "last_token", None)  # another pass would fail
    shared = run_stage(ANALYSIS, spec, tmp_path / "tiny", quiet=True)
    assert (shared.path / results.FILE).read_bytes() == (alone.path / results.FILE).read_bytes()
    with pytest.raises(TypeError):
        other = spec_of(tiny_model, mixture, prompts, **only | {"labelled": labelled})
        run_stage(ANALYSIS, other, tmp_path / "other", quiet=True)


def test_analysis_writes_every_evaluation_with_labels(
    tiny_model: Path, mixture: Path, prompts: Path, tmp_path: Path
) -> None:
    spec = spec_of(tiny_model, mixture, prompts)
    artifact = run_stage(ANALYSIS, spec, tmp_path / "runs" / "tiny", quiet=True)
    table = results.read([artifact.path / "results.parquet"])
    counts = dict(table["evaluation"].value_counts().rows())
    assert counts == {"toxicity": 12, "cross_entropy": 5, "probes": 8}
    assert table["seed"].unique().to_list() == [3] and table["method"].unique().to_list() == ["none"]
    toxic = table.filter(pl.col("evaluation") == "toxicity")
    assert toxic["prompt_scores"][0].to_list() == [{"attribute": "toxicity", "score": 0.0}]
    assert toxic.filter(pl.col("value").is_not_null())["scorer"].str.starts_with("profanity@").all()
    assert not toxic["generation"].str.contains("the man in the street").any()
    ce = table.filter(pl.col("evaluation") == "cross_entropy")
    assert (ce["value"] > 1).all() and (ce["tokens"] > 3).all()
    assert artifact.counts["rows"] == 25 and not (artifact.path / "parts").exists()
    page = ANALYSIS.show(artifact)
    assert any("Heads" in table.title for table in page.tables)


def test_prompts_that_are_cut_or_empty_are_counted_and_those_that_spell_the_end_are_text(
    tiny_model: Path, mixture: Path, prompts: Path, tmp_path: Path
) -> None:
    texts = ["you are", "", "<|endoftext|>", "the man in the street " * 200, " "]
    prompts.write_text("".join(json.dumps({"prompt": {"text": text, "toxicity": 0.5}}) + "\n" for text in texts))
    spec = spec_of(tiny_model, mixture, prompts, probes=None, cross_entropy=None)
    artifact = run_stage(ANALYSIS, spec, tmp_path / "runs" / "tiny", quiet=True)
    counts = {key: count for key, count in artifact.counts.items() if key.startswith("prompts")}
    assert counts == {"prompts": 3, "prompts_cut": 1, "prompts_left_out": 2}
    assert any("1 prompts are longer" in note for note in artifact.notes)
    assert any("2 prompts are empty" in note for note in artifact.notes)


def test_steering_of_another_model_needs_the_key_transfer(
    tiny_model: Path, mixture: Path, prompts: Path, tmp_path: Path
) -> None:
    """Of the same layout: one weight is another."""
    posttrain = {"name": "iti", "model": str(tiny_model), "method": {"name": "iti"},
                 "labelled": {"mixture": str(mixture), "per_class": 10}}  # fmt: skip
    fitted = run_stage(POSTTRAIN, PosttrainSpec.model_validate(posttrain), tmp_path / "iti", quiet=True)
    other = Path(shutil.copytree(tiny_model, tmp_path / "other"))
    tensors = load_file(other / "model.safetensors")
    next(iter(tensors.values())).mul_(1.5)
    save_file(tensors, other / "model.safetensors", {"format": "pt"})
    subject = {"recipe": [{"steering": str(fitted.path)}], "probes": None, "toxicity": None}
    spec = spec_of(other, mixture, prompts, **subject)
    with pytest.raises(InputError, match="fitted on another model"):
        run_stage(ANALYSIS, spec, tmp_path / "refused", quiet=True)
    meant = spec_of(other, mixture, prompts, **subject, transfer=True)
    assert run_stage(ANALYSIS, meant, tmp_path / "meant", quiet=True).counts["rows"] == 5
    assert ANALYSIS.fingerprint(meant) != ANALYSIS.fingerprint(spec)
    with pytest.raises(ValueError, match="`transfer:` without `recipe:`"):
        spec_of(tiny_model, mixture, prompts, transfer=True)


def test_killed_analysis_takes_up_the_chunk_it_was_in_and_ends_with_the_same_bytes(
    tiny_model: Path, mixture: Path, prompts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(toxicity, "PROMPTS_PER_CHUNK", 2)
    spec = spec_of(tiny_model, mixture, prompts, probes=None)
    whole = run_stage(ANALYSIS, spec, tmp_path / "whole" / "tiny", quiet=True)
    generate, generated = Steered.generate, []

    def counted(self: Steered, texts: list[str], *given: Any, **more: Any) -> Any:
        generated.append(len(texts))
        return generate(self, texts, *given, **more)

    with monkeypatch.context() as patch:
        patch.setattr(Steered, "generate", lambda *given, **more: counted(*given, **more) if not generated else _stop())
        with pytest.raises(KeyboardInterrupt):
            run_stage(ANALYSIS, spec, tmp_path / "killed" / "tiny", quiet=True)
    monkeypatch.setattr(Steered, "generate", counted)
    monkeypatch.setattr(EVALUATIONS.get("cross_entropy"), "rows", _stop)  # measured before the kill
    resumed = run_stage(ANALYSIS, spec, tmp_path / "killed" / "tiny", quiet=True)
    assert generated == [2, 2, 2]
    assert (resumed.path / results.FILE).read_bytes() == (whole.path / results.FILE).read_bytes()


def test_kill_while_scoring_generates_nothing_and_scores_only_the_rest(
    tiny_model: Path, mixture: Path, prompts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(toxicity, "PROMPTS_PER_CHUNK", 2)
    spec = spec_of(tiny_model, mixture, prompts, probes=None, cross_entropy=None)
    whole = run_stage(ANALYSIS, spec, tmp_path / "whole" / "tiny", quiet=True)
    scored, texts = Profanity._raw_scores, []

    def counted(self: Profanity, batch: list[str]) -> Any:
        texts.append(len(batch))
        return scored(self, batch)

    with monkeypatch.context() as patch:
        patch.setattr(Profanity, "_raw_scores", lambda *given: counted(*given) if not texts else _stop())
        with pytest.raises(KeyboardInterrupt):
            run_stage(ANALYSIS, spec, tmp_path / "killed" / "tiny", quiet=True)
    monkeypatch.setattr(Steered, "generate", _stop)
    monkeypatch.setattr(Profanity, "_raw_scores", counted)
    resumed = run_stage(ANALYSIS, spec, tmp_path / "killed" / "tiny", quiet=True)
    assert len(texts) == 3
    assert (resumed.path / results.FILE).read_bytes() == (whole.path / results.FILE).read_bytes()


def test_other_scorers_and_labels_measure_nothing_anew(
    tiny_model: Path, mixture: Path, prompts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = spec_of(tiny_model, mixture, prompts, probes=None)
    first = run_stage(ANALYSIS, spec, tmp_path / "runs" / "tiny", quiet=True)
    for evaluation in ("toxicity", "cross_entropy"):
        monkeypatch.setattr(EVALUATIONS.get(evaluation), "rows", _stop)
    monkeypatch.setattr(LazyModel, "loaded", property(_stop))
    assert spec.toxicity is not None
    twice = EnsembleSpec(scorers=(ProfanitySpec(), ProfanitySpec()))
    changes = {"toxicity": spec.toxicity.model_copy(update={"also": (twice,)}), "alias": "plain", "seed": 4}
    second = run_stage(ANALYSIS, spec.model_copy(update=changes), tmp_path / "runs" / "tiny", quiet=True)
    before, after = (results.read([artifact.path / results.FILE]) for artifact in (first, second))
    assert second.path != first.path and after["seed"].unique().to_list() == [4]
    assert after["generation"].to_list() == before["generation"].to_list()
    assert after["scores"].list.len().max() == 2 and before["scores"].list.len().max() == 1


@pytest.mark.parametrize(
    "changes",
    [{"samples": 3}, {"max_new_tokens": 7}, {"top_p": 0.8}, {"temperature": 0.5}, {"seed": 1}, {"limit": 3}],
)
def test_what_changes_a_generation_is_part_of_what_was_measured(
    tiny_model: Path, mixture: Path, prompts: Path, tmp_path: Path, changes: dict[str, Any]
) -> None:
    spec = spec_of(tiny_model, mixture, prompts, probes=None, cross_entropy=None)
    run_stage(ANALYSIS, spec, tmp_path / "runs" / "tiny", quiet=True)
    assert spec.toxicity is not None
    other = spec.model_copy(update={"toxicity": spec.toxicity.model_copy(update=changes)})
    assert measured(spec, "toxicity", tmp_path / "runs" / "store") is not None
    assert measured(other, "toxicity", tmp_path / "runs" / "store") is None


def test_one_more_evaluation_leaves_what_was_measured(
    tiny_model: Path, mixture: Path, prompts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = spec_of(tiny_model, mixture, prompts, probes=None, cross_entropy=None, mixture=None, labelled=None)
    run_stage(ANALYSIS, alone, tmp_path / "tiny", quiet=True)
    monkeypatch.setattr(Steered, "generate", _stop)
    assert (
        run_stage(ANALYSIS, spec_of(tiny_model, mixture, prompts), tmp_path / "tiny", quiet=True).counts["rows"] == 25
    )


def test_measured_rows_are_read_as_they_were_written(tmp_path: Path) -> None:
    whole = results.Row(
        instance="bold", prompt=1, sample=2, prompt_id="p", group="g", prompt_text="a", generation="b", value=0.1,
        tokens=3, reason="r", scorer="s", sampling_seed=4, prompt_scores=(results.PromptScore("toxicity", 0.5),),
        scores=(results.Score("s", "toxicity", 0.25), results.Score("s", "nan", float("inf"))),
    )  # fmt: skip
    rows = [whole, results.Row(prompt=0, prompt_id="q", value=None, tokens=0), replace(whole, scores=())]
    write_rows(rows, tmp_path / "rows.parquet")
    assert read_rows(tmp_path / "rows.parquet") == rows
    pl.read_parquet(tmp_path / "rows.parquet").drop("group").write_parquet(tmp_path / "older.parquet")
    assert read_rows(tmp_path / "older.parquet")[0] == replace(whole, group=None)


def _stop(*_: object) -> list[results.Row]:
    raise KeyboardInterrupt


def test_prompts_in_another_place_are_the_same_work(
    tiny_model: Path, mixture: Path, prompts: Path, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere" / prompts.name
    elsewhere.parent.mkdir()
    elsewhere.write_bytes(prompts.read_bytes())
    one, two = (ANALYSIS.fingerprint(spec_of(tiny_model, mixture, path)) for path in (prompts, elsewhere))
    assert one == two
    elsewhere.write_text(prompts.read_text().replace("street", "square"))
    assert ANALYSIS.fingerprint(spec_of(tiny_model, mixture, elsewhere)) != one


def test_component_without_held_out_documents_is_refused_with_the_nearest(
    tiny_model: Path, mixture: Path, prompts: Path, tmp_path: Path
) -> None:
    spec = spec_of(tiny_model, mixture, prompts, probes=None, cross_entropy={"component": "cleen"})
    with pytest.raises(AmountError, match='did you mean "clean"'):
        run_stage(ANALYSIS, spec, tmp_path / "bad", quiet=True)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"toxicity": None, "cross_entropy": None, "probes": None}, "nothing to measure"),
        ({"recipe": [{"steering": "a", "budget": 0.1, "strength": 1}]}, "either `strength` or `budget`"),
        ({"recipe": [{"steering": "a", "budget": 0.1}, {"steering": "b", "budget": 0.1}]}, "of one method"),
        ({"recipe": [{"steering": "a", "budget": 0.1}], "mixture": None}, "give `mixture:`"),
        ({"recipe": [{"steering": "a", "budget": 0.1}], "cross_entropy": {}}, "give `max_documents`"),
    ],
)
def test_senseless_specifications_are_refused(
    tiny_model: Path, mixture: Path, prompts: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        spec_of(tiny_model, mixture, prompts, **changes)


@pytest.fixture(scope="module")
def steering(tiny_model: Path, mixture: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """ITI fitted on the tiny model."""
    labelled = {"mixture": str(mixture), "per_class": 10}
    method = {"name": "iti", "top_heads": 4, "folds": 2}
    spec = {"name": "iti", "model": str(tiny_model), "method": method, "labelled": labelled, "device": "cpu"}
    target = tmp_path_factory.mktemp("runs") / "iti"
    return run_stage(POSTTRAIN, PosttrainSpec.model_validate(spec), target, quiet=True).path


def budget_of(steering: Path, budget: float, **more: Any) -> dict[str, Any]:
    """A recipe with a budget; the model is random, so that only a small one is sure to be met."""
    recipe = [{"steering": str(steering), "budget": budget, **more}]
    documents = {"component": "risky", "documents": 20}
    return {"recipe": recipe, "toxicity": None, "probes": None, "budget_documents": documents}


def test_a_budget_is_met_before_anything_is_measured_and_recorded(
    tiny_model: Path, mixture: Path, prompts: Path, steering: Path, tmp_path: Path
) -> None:
    changes = budget_of(steering, 0.02, alias="heads")
    artifact = run_stage(ANALYSIS, spec_of(tiny_model, mixture, prompts, **changes), tmp_path / "met", quiet=True)
    found = json.loads((artifact.path / "strength.json").read_text())
    table = results.read([artifact.path / "results.parquet"])
    assert table.select("method", "budget", "strength").unique().rows() == [("heads", 0.02, found["strength"])]
    assert found["documents"] == 20 and found["cost"]["low"] <= found["cost"]["value"] <= found["cost"]["high"]
    assert artifact.counts["strength"] == found["strength"] and artifact.counts["cost"] == found["cost"]["value"]


def test_a_strength_is_found_on_documents_that_are_not_measured(
    tiny_model: Path, mixture: Path, prompts: Path, steering: Path
) -> None:
    own = {"component": "clean", "documents": 2}
    spec = spec_of(tiny_model, mixture, prompts, **budget_of(steering, 0.02) | {"budget_documents": own})
    texts = pl.read_parquet(mixture / "held_out.parquet").filter(component="clean")["text"].to_list()
    assert budget_documents(spec) == texts[5:7]
    more = own | {"documents": 3}
    with pytest.raises(AmountError, match="there are 7 and cross_entropy measures 5"):
        budget_documents(spec.model_copy(update={"budget_documents": BudgetDocumentsSpec.model_validate(more)}))


def test_a_killed_analysis_finds_its_strength_once(
    tiny_model: Path, mixture: Path, prompts: Path, steering: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = spec_of(tiny_model, mixture, prompts, **budget_of(steering, 0.02))
    with monkeypatch.context() as patch:
        patch.setattr(EVALUATIONS.get("cross_entropy"), "rows", _stop)
        with pytest.raises(KeyboardInterrupt):
            run_stage(ANALYSIS, spec, tmp_path / "killed", quiet=True)
    monkeypatch.setattr("posttrain.strength.find_strength", _stop)
    assert run_stage(ANALYSIS, spec, tmp_path / "killed", quiet=True).counts["strength"] > 0


def test_what_acts_together_is_named_after_all_of_it(
    tiny_model: Path, mixture: Path, prompts: Path, steering: Path, tmp_path: Path
) -> None:
    entries = [{"steering": str(steering), "strength": 2}, {"steering": str(steering), "strength": 1, "alias": "more"}]
    spec = spec_of(tiny_model, mixture, prompts, recipe=entries, toxicity=None, probes=None)
    table = results.read([run_stage(ANALYSIS, spec, tmp_path / "both", quiet=True).path / "results.parquet"])
    assert table.select("method", "budget", "strength").unique().rows() == [("iti + more", None, 2.0)]
    named = results.read(
        [run_stage(ANALYSIS, spec.model_copy(update={"alias": "pair"}), tmp_path / "p", quiet=True).path / results.FILE]
    )
    assert named["method"].unique().to_list() == ["pair"]
    assert named["value"].to_list() == table["value"].to_list()


def test_where_a_strength_is_found_is_part_of_the_work_and_of_no_other(
    tiny_model: Path, mixture: Path, prompts: Path, steering: Path
) -> None:
    def fingerprint(budget: float | None, documents: int) -> str:
        changes = budget_of(steering, budget) if budget else {"toxicity": None}
        changes["budget_documents"] = {"component": "risky", "documents": documents}
        return ANALYSIS.fingerprint(spec_of(tiny_model, mixture, prompts, **changes))

    assert fingerprint(0.02, 20) != fingerprint(0.02, 19) != fingerprint(0.05, 19)
    assert fingerprint(None, 20) == fingerprint(None, 19)
