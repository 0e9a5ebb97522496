"""The papers' experiments, tiny: `python -m benchmarks.seed_studies` (what `make studies` runs), on two cores.

Runs every tiny study of `examples/studies`, which share their steps below `--out`, keeps each as
`benchmarks.keep_study` does, and writes `benchmarks/results/studies.md`: of every published effect whether it is seen
here, with its interval, and what each study cost, over all runs that it took. What is done is not done again. Leaves
with 1 where a study failed.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import polars as pl

from analysis.report.published_tables import effect_table
from benchmarks.keep_study import RESULTS, keep
from infra.atomic import write_json
from infra.render.markdown import markdown

EXAMPLES = Path(__file__).parents[1] / "examples" / "studies"
STUDIES = ("bad-data", "understanding", "self-detoxify", "policies-and-methods", "over-training", "fictional-authors")
"""In the order in which they run: what several need, the first of them makes."""
COSTS = "costs.json"


@dataclass(frozen=True)
class Cost:
    """What running a study took, in seconds: by the clock, and of processors."""

    wall: float
    processor: float


def main() -> int:
    """Run, keep and sum up."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("studies", nargs="*", default=STUDIES, metavar="STUDY", help="names [all]")
    parser.add_argument("--out", type=Path, default=Path("runs/studies"), help="folder of the runs")
    parser.add_argument("--note", default="", help="machine and date: what a reader must know of this run")
    options = parser.parse_args()
    failed = []
    for name in options.studies:
        if run(name, options.out) != 0:
            failed.append(name)
        if (options.out / name / "artifact.json").is_file():
            keep(options.out / name, options.note)
    write_summary(options.out, options.note)
    print(RESULTS / "studies.md")
    return 1 if failed else 0


def run(name: str, out: Path) -> int:
    """Run one study and add what it took to what it has taken before. Returns the exit code."""
    began, before = time.monotonic(), _processor_seconds()
    command = [sys.executable, "-m", "hormesis", "run", str(EXAMPLES / f"{name}.yaml"), "--out", str(out / name),
               "--set", f"steps_in={(out / 'steps').absolute()}"]  # fmt: skip
    code = subprocess.run(command, check=False).returncode  # noqa: S603
    costs = costs_of(out)
    earlier = costs.get(name, Cost(0, 0))
    costs[name] = Cost(earlier.wall + time.monotonic() - began, earlier.processor + _processor_seconds() - before)
    write_json(out / COSTS, {study: asdict(cost) for study, cost in costs.items()})
    return code


def costs_of(out: Path) -> dict[str, Cost]:
    """What the studies below `out` have taken so far."""
    file = out / COSTS
    return {name: Cost(**cost) for name, cost in json.loads(file.read_text()).items()} if file.is_file() else {}


def _processor_seconds() -> float:
    """Of all children that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def write_summary(out: Path, note: str) -> None:
    """One page over all studies that have a report below `out`."""
    finished = [name for name in STUDIES if (out / name / "answer.json").is_file()]
    costs = {name: cost for name, cost in costs_of(out).items() if name in finished}
    lines = ["# The papers' experiments, tiny", "", note, "", *_INTRODUCTION, ""]
    lines += _counts([_effects(out / name) for name in finished])
    for name in finished:
        lines += _section(name, out / name)
    lines += ["## What it took", "", "| study | minutes by the clock | of one processor |", "|---|---:|---:|"]
    lines += [f"| {name} | {cost.wall / 60:.1f} | {cost.processor / 60:.1f} |" for name, cost in costs.items()]
    if costs:
        wall, processor = (sum(getattr(cost, kind) for cost in costs.values()) for kind in ("wall", "processor"))
        lines.append(f"| all | {wall / 60:.1f} | {processor / 60:.1f} |")
    (RESULTS / "studies.md").write_text("\n".join(lines) + "\n")


_INTRODUCTION = (
    "`make studies` runs them; docs/studies.md says what each asks. Every effect that a paper reports is a difference",
    "of figures here, with a 95 % interval over prompts (documents, heads, texts) and seeds. *seen*: the interval lies",
    "on the paper's side of zero; *the opposite*: on the other; *not shown*: it holds zero, which at this size is no",
    "evidence against the paper. Models have 1 M parameters and the risky text is synthetic.",
)


def _counts(tables: Sequence[pl.DataFrame]) -> list[str]:
    outcomes = pl.concat([pl.Series("outcome", [], pl.String), *(table["outcome"] for table in tables)])
    counted = ", ".join(f"{number} {outcome}" for outcome, number in sorted(outcomes.value_counts().rows()))
    return [f"Of {len(outcomes)} effects: {counted or 'none was looked at'}.", ""]


def _effects(study: Path) -> pl.DataFrame:
    file = study / "tables" / "effects.parquet"
    return pl.read_parquet(file) if file.is_file() else pl.DataFrame(schema={"outcome": pl.String})


def _section(name: str, study: Path) -> list[str]:
    """The answer of a study and its effects."""
    told: dict[str, Any] = json.loads((study / "answer.json").read_text())
    lines = [f"## [{name}]({name}.md)", "", told["sentence"], ""]
    if told.get("against_matched"):
        lines += [f"Against a compute-matched clean model: {told['against_matched']}", ""]
    effects = _effects(study)
    return [*lines, *(markdown(table) for table in (effect_table(effects) if effects.height else [])), ""]


if __name__ == "__main__":
    sys.exit(main())
