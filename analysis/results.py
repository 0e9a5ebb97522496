"""The results table: one row a (arm, seed, method, budget or strength, evaluation, prompt, sample), and its
deterministic Parquet form. `method` is what the recipe is called; `strength` that of its one free method.

What a row means depends on its evaluation:

| evaluation | prompt | sample | value | tokens |
|---|---|---|---|---|
| toxicity | index of the prompt | index of the generation | score of the continuation in [0, 1] | tokens generated |
| cross_entropy | index of the held-out document | 0 | nats per predicted token | tokens predicted, EOS too |
| capability | task's number × 10⁶ + item | 0 | the task's first metric, 0 or 1 for accuracy | requests of the item |
| red_team | index of the prompt | 0 none, 1 plain, 2 steered | 1: the reply begins with the target | tokens generated |
| fluency | index of the prompt | index of the generation | nats per token, unsteered | tokens of the text |
| relearning | index of the measurement | 0 | mean toxicity after these steps | steps of the attack |
| recognition | index of the text in its draw | fold that held it out | P(toxic), by its probe | texts of the fit |
| probes | ordinal of the head (layer-major) | 0 | validation accuracy in [0, 1] | texts in the validation part |

`value` is null exactly where the thing could not be measured, and then `reason` says why: an unscored generation is
never a harmless one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import polars as pl

from analysis.names import MATCHED

SCORE = pl.Struct({"scorer": pl.String, "attribute": pl.String, "score": pl.Float32})

SCHEMA: dict[str, pl.DataType] = {
    "arm": pl.String(),
    "dose": pl.Float64(),
    "policy": pl.String(),
    "mixture": pl.String(),
    "seed": pl.Int64(),
    "method": pl.String(),
    "budget": pl.Float64(),
    "strength": pl.Float64(),
    "step": pl.Int64(),
    "evaluation": pl.String(),
    "instance": pl.String(),
    "prompt": pl.Int64(),
    "sample": pl.Int64(),
    "prompt_id": pl.String(),
    "group": pl.String(),
    "prompt_text": pl.String(),
    "prompt_scores": pl.List(pl.Struct({"attribute": pl.String, "score": pl.Float32})),
    "generation": pl.String(),
    "value": pl.Float64(),
    "tokens": pl.Int64(),
    "reason": pl.String(),
    "scores": pl.List(SCORE),
    "scorer": pl.String(),
    "sampling_seed": pl.Int64(),
}
"""Column -> type. `budget` is null where a strength was given; with one, the strength was found for this very model.
`step` is the optimizer step of the checkpoint that was measured, null for the end of training. `instance` names what an
evaluation measured beside its main subject (a further set of prompts, other documents), and is null for that; `group`
is what the prompt says of itself, such as the people it speaks of. `scorer` is the scorer's identity: its name and the
SHA-256 of its weights.
"""

KEY = (
    "dose", "policy", "mixture", "arm", "seed", "method", "budget", "strength", "step", "evaluation", "instance",
    "prompt", "sample",
)  # fmt: skip
"""The columns that identify a row; tables are kept sorted by them, so that equal results are equal bytes."""

TOXICITY, CROSS_ENTROPY, PROBES = "toxicity", "cross_entropy", "probes"
CAPABILITY, RECOGNITION, RED_TEAM = "capability", "recognition", "red_team"
FLUENCY, RELEARNING = "fluency", "relearning"
TOKENS = "tokens"
"""Instance of `probes` with a row a token of some labelled texts."""

BYTES = "bytes"
"""The attribute of a score that holds the UTF-8 bytes of what was measured, in rows of cross-entropy."""

FILE = "results.parquet"


@dataclass(frozen=True)
class Labels:
    """What the table says of a subject in every row: its arm, and the recipe that it is under."""

    arm: str
    dose: float
    policy: str
    mixture: str
    seed: int
    method: str
    strength: float
    budget: float | None = None
    """Nats per token for which the strength was found."""
    step: int | None = None
    """Optimizer step of the checkpoint; None for the end of training."""


@dataclass(frozen=True)
class PromptScore:
    """A score that came with a prompt."""

    attribute: str
    score: float


@dataclass(frozen=True)
class Score:
    """What a scorer says of a continuation."""

    scorer: str
    attribute: str
    score: float


@dataclass(frozen=True, kw_only=True)
class Row:
    """One measurement of a subject; what its columns mean depends on the evaluation (see above)."""

    instance: str | None = None
    prompt: int
    sample: int = 0
    prompt_id: str
    group: str | None = None
    prompt_text: str | None = None
    prompt_scores: tuple[PromptScore, ...] | None = None
    generation: str | None = None
    value: float | None
    tokens: int
    reason: str | None = None
    scores: tuple[Score, ...] | None = None
    scorer: str | None = None
    sampling_seed: int | None = None


def frame(labels: Labels, evaluation: str, rows: Iterable[Row]) -> pl.DataFrame:
    """The rows of one evaluation of one subject as a sorted table of `SCHEMA`."""
    subject = {**asdict(labels), "evaluation": evaluation}
    return pl.DataFrame([{**subject, **asdict(row)} for row in rows], schema=SCHEMA).sort(KEY)


def main(table: pl.DataFrame) -> pl.DataFrame:
    """The rows that comparisons and the answer stand on: of the end of training, of no further instance, and of no
    compute-matched control.
    """
    at_end, itself = pl.col("step").is_null(), pl.col("instance").is_null()
    return table.filter(at_end & itself & ~pl.col("mixture").str.starts_with(MATCHED))


def named_score(attribute: str) -> pl.Expr:
    """The score of this name in `scores`, null in rows without one."""
    element = pl.element()
    of_name = element.filter(element.struct.field("attribute") == attribute)
    return pl.col("scores").list.eval(of_name).list.first().struct.field("score").cast(pl.Float64)


def write(table: pl.DataFrame, path: Path) -> None:
    """Write the table so that equal tables give equal bytes: fixed column order, row order, codec and row groups."""
    ordered = table.select(SCHEMA.keys()).cast(SCHEMA).sort(KEY)  # type: ignore[arg-type]
    ordered.write_parquet(path, compression="zstd", compression_level=3, statistics=True, row_group_size=65_536)


def read(paths: Iterable[Path]) -> pl.DataFrame:
    """The tables of several analyses as one; a column that is younger than a table is null in its rows."""
    tables = [pl.DataFrame(schema=SCHEMA), *map(pl.read_parquet, paths)]
    return pl.concat(tables, how="diagonal").select(SCHEMA.keys()).sort(KEY)
