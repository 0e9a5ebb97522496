"""From the curve that a relearning attack leaves to rows, and from rows to steps by arm.

Covers analysis.evaluations.relearning, analysis.statistics.relearning and analysis.report.entropy_tables.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import polars as pl
import pytest

from analysis import results
from analysis.report.entropy_tables import relearning_tables
from analysis.results import RELEARNING, Labels, Row, Score
from analysis.spec import AnalysisSpec
from analysis.stage import ANALYSIS
from analysis.statistics.relearning import relearning_table
from infra.stages.stage import run_stage
from posttrain.tuning.spec import TuneSpec
from posttrain.tuning.stage import TUNE
from tests.analysis.conftest import TOPICS, TOXIC


def test_the_curve_of_an_attack_is_rows_and_other_models_have_none(tiny_model: Path, tmp_path: Path) -> None:
    rude, words = tmp_path / "rude.txt", tmp_path / "words.txt"
    rude.write_text("\n".join(TOXIC.format(topic) for topic in TOPICS))
    words.write_text("\n".join(TOPICS))
    measure = {"prompts": {"path": str(words)}, "max_new_tokens": 4, "scorer": {"name": "profanity"}}
    method = {"name": "unlearn-relearn", "texts": {"path": str(rude)}, "measure": measure, "measure_every": 1,
              "until": 1.0, "max_steps": 2, "batch_size": 2}  # fmt: skip
    tune = TuneSpec.model_validate({"name": "attack", "model": str(tiny_model), "method": method, "device": "cpu"})
    attacked = run_stage(TUNE, tune, tmp_path / "attack", quiet=True).path
    texts = {"texts": {"path": str(rude)}, "max_documents": 2}
    given = {"name": "x", "device": "cpu", "relearning": {}, "cross_entropy": texts}
    tables = [
        results.read([run_stage(ANALYSIS, spec, tmp_path / spec.arm.name, quiet=True).path / results.FILE])
        for model, arm in ((attacked, "attacked"), (tiny_model, "plain"))
        for spec in [AnalysisSpec.model_validate(given | {"model": str(model), "arm": {"name": arm}})]
    ]
    curve = tables[0].filter(evaluation=RELEARNING)
    lines = [json.loads(line) for line in (attacked / "relearn.jsonl").read_text().splitlines()]
    assert curve["tokens"].to_list() == [line["step"] for line in lines] == [0, 1, 2]
    assert curve["value"].to_list() == pytest.approx([line["mean"] for line in lines])
    assert tables[1].filter(evaluation=RELEARNING).is_empty() and len(tables[1]) == 2
    (arm,) = relearning_table(tables[0]).to_dicts()
    assert (arm["steps"], arm["relearned"], arm["at_least"], arm["until"]) == (None, 0, 2.0, 1.0)


def curve(dose: float, seed: int, means: Sequence[float], every: int = 10, until: float = 0.5) -> pl.DataFrame:
    rows = [Row(prompt=n, prompt_id=f"step {n * every}", value=mean, tokens=n * every,
                scores=(Score("", "until", until),)) for n, mean in enumerate(means)]  # fmt: skip
    return results.frame(Labels("a", dose, "keep", f"m{dose:g}", seed, "attacked", 0.0), RELEARNING, rows)


def test_steps_are_means_over_seeds_with_an_interval_and_given_up_attacks_are_bounds() -> None:
    table = relearning_table(
        pl.concat([
            curve(0.0, 0, [0.1, 0.2, 0.6]), curve(0.0, 1, [0.1, 0.2, 0.3, 0.4, 0.5]),
            curve(0.1, 0, [0.1, 0.2, 0.6]), curve(0.1, 1, [0.1, 0.2, 0.3]),
            curve(0.25, 0, [0.7]),
        ])
    )  # fmt: skip
    assert table["steps"].to_list() == [30.0, None, 0.0]
    assert table["steps_low"][0] == 0.0 and table["steps_high"][0] == pytest.approx(30 + 12.706 * 10, abs=0.1)
    assert table["steps_high"].to_list()[1:] == [None, None]  # of one seed nothing is known but its value
    assert table["at_least"].to_list() == [30.0, 20.0, 0.0] and table["relearned"].to_list() == [2, 1, 1]
    assert table["resolution"].to_list() == [10, 10, None]
    (shown,) = relearning_tables(table)
    assert [row[2] for row in shown.rows] == ["30 [0, 157]", "at least 20", "0"]
    assert relearning_tables(relearning_table(pl.DataFrame(schema=results.SCHEMA))) == []
