"""How long the front door takes to open: `--help` and `validate`, and whether it loads a library that it does not need.

    python -m benchmarks.startup [--rounds 10] [--against CHECKOUT]

Every round starts each command once, in turn with a bare Python that imports pydantic, typer and numpy (what `validate`
cannot do without), and with the same command of another checkout where one is named. Seconds are processor time of the
child, user and system, the least of all rounds. Leaves with 1 where `--help` takes 0.5 s or `validate` 1.5 s, or where
one of the heavy libraries is loaded.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
HEAVY = ("torch", "transformers", "datatrove", "ray", "megatron", "detoxify", "fasttext", "sklearn", "scipy", "pyarrow",
         "polars", "matplotlib", "plotly", "onnx", "onnxruntime", "tokenizers", "huggingface_hub")  # fmt: skip
COMMANDS = {
    "--help": (["--help"], 0.5),
    "validate (study)": (["validate", "examples/quickstart.yaml"], 1.5),
    "validate (all examples)": (["validate", *sorted(f"examples/{path.name}" for path in ROOT.glob("examples/*.yaml"))],
                                None),
}  # fmt: skip
_BARE = "import pydantic, typer, numpy"
_LOADED = f"""
import sys, runpy
try:
    runpy.run_path("hormesis.py", run_name="__main__")
finally:
    print(*sorted(set({HEAVY!r}) & set(sys.modules)), file=sys.stderr)
"""


@dataclass(frozen=True)
class Result:
    """Least processor seconds of one command: of this checkout, of the bare Python, and of the other checkout."""

    ours: float
    bare: float
    other: float | None


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--against", type=Path, help="another checkout of hormesis, with the same examples")
    options = parser.parse_args()
    failed = False
    for name, (arguments, limit) in COMMANDS.items():
        result = measure(arguments, options.rounds, options.against)
        loaded = loaded_by(arguments)
        against = "" if result.other is None else f"; {result.ours / result.other:.2f} × the other checkout"
        allowed = "" if limit is None else f" of {limit} s"
        print(f"{name}: {result.ours:.3f} s{allowed}, {result.ours / result.bare:.1f} × bare imports "
              f"({result.bare:.3f} s){against}; heavy libraries: {len(loaded)} {' '.join(loaded)}")  # fmt: skip
        failed |= bool(loaded) or (limit is not None and result.here >= limit)
    sys.exit(1 if failed else 0)


def measure(arguments: Sequence[str], rounds: int, against: Path | None) -> Result:
    """Run all of them in turn, round by round, so that a busy machine is busy for each of them."""
    ours, bare, other = [], [], []
    for _ in range(rounds):
        ours.append(seconds(["hormesis.py", *arguments], ROOT))
        bare.append(seconds(["-c", _BARE], ROOT))
        if against is not None:
            other.append(seconds(["hormesis.py", *arguments], against))
    return Result(min(ours), min(bare), min(other, default=None))


def seconds(arguments: Sequence[str], folder: Path) -> float:
    """Processor seconds of one Python. Raises CalledProcessError where it fails."""
    before = os.times()
    subprocess.run([sys.executable, *arguments], cwd=folder, check=True, capture_output=True)  # noqa: S603
    after = os.times()
    return after.children_user - before.children_user + after.children_system - before.children_system


def loaded_by(arguments: Sequence[str]) -> list[str]:
    """The heavy libraries that a command has loaded when it ends."""
    command = [sys.executable, "-c", _LOADED, *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)  # noqa: S603
    return done.stderr.splitlines()[-1].split()


if __name__ == "__main__":
    main()
