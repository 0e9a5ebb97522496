"""How fast documents and tokens are tagged, on the same texts, in one run; fails below a floor.

    python benchmarks/tagging [--data ../shared/data] [--out runs/tagging] [--texts 600] [--parts a b c d e f]

Needs the extras detoxify and onnx. All figures are for one core, in processor time. The table goes to
--out/tagging.md; kept results are in benchmarks/results/tagging.md.
"""

from __future__ import annotations

import argparse
import importlib
import platform
from pathlib import Path

from bench import Bench, Figure

MODULES = {"a": "detoxify_speed", "b": "detoxify_speed", "c": "cascade_speed", "d": "token_tags", "e": "fasttext_speed",
         "f": "overhead"}  # fmt: skip
"""Letter in the table -> module; each has `measure(bench)`."""


def main() -> None:
    """Run the parts that are asked for, in order."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[3] / "shared" / "data")
    parser.add_argument("--out", type=Path, default=Path("runs/tagging"))
    parser.add_argument("--texts", type=int, default=600, help="texts for (a) to (c)")
    parser.add_argument("--parts", nargs="*", default=list(MODULES), choices=list(MODULES))
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    bench = Bench(asked.data.resolve(), asked.out.resolve(), asked.texts)
    for module in dict.fromkeys(MODULES[letter] for letter in asked.parts):
        importlib.import_module(module).measure(bench)
    (asked.out / "tagging.md").write_text(table(bench), encoding="utf-8")
    print(table(bench))
    if missed := [figure.what for figure in bench.figures if not figure.holds]:
        raise SystemExit(f"below its floor: {'; '.join(missed)}")


def table(bench: Bench) -> str:
    """The figures as Markdown, with the machine that they are from."""
    head = "| | what | on one core | bound | |\n|---|---|---|---|---|\n"
    rows = "\n".join(map(Figure.row, bench.figures))
    notes = "".join(f"\n{note}\n" for note in (*bench.notes, f"Machine: {_machine()}."))
    return f"{head}{rows}\n{notes}"


def _machine() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(errors="replace").splitlines() if cpuinfo.is_file() else []
    names = {line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")}
    flags = next((line for line in lines if line.startswith("flags")), "")
    known = [flag for flag in ("avx2", "avx512f", "avx512_vnni", "amx_bf16") if flag in flags]
    return f"{', '.join(sorted(names)) or platform.processor()} ({', '.join(known) or 'no vector extensions known'})"


if __name__ == "__main__":
    main()
