"""Everything that needs a GPU, in one command of parts: about 7 minutes on an H100, and more for the study.

    python -m benchmarks.gpu --pack carried                    # where ../shared/data and all packages are
    python -m benchmarks.gpu --carried carried --out runs/gpu  # where the GPU is; again, to go on where it stopped

`--pack` builds the mixture that is trained on and gathers the texts: 25 MB. The machine with the GPU needs PyTorch,
transformers and what training and scoring import; datatrove, polars and plotly only for the study. With `--rehearse`,
in both commands, everything is small and a CPU does.

| part | what it does |
|---|---|
| parity | losses and gradient norms of every policy against the CPU of the same machine |
| throughput | olmo-1b against transformers, plain and compiled, and against its products and attention alone |
| accumulated | the same with 8 micro-batches a step |
| fp8 | the same in fp8 |
| overhead | what a loss policy costs an olmo-1b step |
| train | a whole olmo-1b run on the mixture: tokens/s, MFU, and the dearest operations of its profile |
| small | an olmo-150m run with a checkpoint every 20 steps: tokens/s and the share of time that checkpoints take |
| resume | a run killed with SIGKILL and taken up again ends with the bytes of an undisturbed one |
| scoring | a classifier against Detoxify as shipped and the tokenizer alone |
| decoding | tokens/s of steering methods against `transformers.generate` |
| study | doses 0, 10, 25 % × keep, mask, one seed: `benchmarks/keep_study.py runs/gpu/study` keeps its report |

A part that is done is not done again, one that fails stops no other, and OUT/gpu.md tells what is there. OLMo-core
publishes 44,000 to 46,000 tokens/s of OLMo-1B on an H100; `train` aims at 62,000.
"""

from __future__ import annotations

import argparse
import gzip
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.artifacts.artifact import is_artifact
from infra.artifacts.fingerprint import digest_file
from infra.stages.result_folders import partials_of
from pretrain.files import CHECKPOINTS, checkpoint_step, checkpoints_in

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT.parent / "shared" / "data"
STUDY = ROOT / "benchmarks" / "studies" / "gpu.yaml"
PACKED = {
    "clean.jsonl.gz": ["clean_modern/clean_modern.jsonl.gz"],
    "toxic.jsonl.gz": ["fourchan/paloma_4chan_val.jsonl.gz", "toxic_corpus/toxic_comments.jsonl.gz"],
    "prompts.jsonl.gz": ["rtp/rtp_5k_sample.jsonl.gz"],
}


@dataclass(frozen=True)
class Sizes:
    """How much of everything."""

    preset: str
    small_preset: str
    sequence: int
    rows: int
    batch: int
    precision: str
    rounds: int
    tokens: int
    vocabulary: int
    study: dict[str, Any]


FULL = Sizes("olmo-1b", "olmo-150m", 2048, 8, 64, "bf16", 10, 3_200_000, 16384, {})
SMALL = Sizes("olmo-tiny", "olmo-tiny", 64, 4, 8, "fp32", 3, 30_000, 512, {
    "doses": [0, 0.25], "mixture.sequence_length": 64, "mixture.components.clean.tokens": 30_000,
    "mixture.hold_out": {"clean": 4000, "risky": 6000}, "mixture.tokenizer.train_bpe.vocab_size": 512,
    "pretrain.model": "olmo-tiny", "pretrain.precision": "fp32", "pretrain.epochs": 1, "labelled.per_class": 40,
    "methods": {"none": {}}, "analysis.toxicity.limit": 20, "analysis.toxicity.max_new_tokens": 8,
})  # fmt: skip


class Bench:
    """The parts, over one folder of results."""

    def __init__(self, carried: Path, out: Path, sizes: Sizes) -> None:
        self.carried, self.out, self.sizes = carried.resolve(), out.resolve(), sizes

    def measurements(self) -> dict[str, Callable[[], str]]:
        """Each measurement by name; it returns what the page says of it."""
        names = ("parity", "throughput", "accumulated", "fp8", "overhead", "train", "small", "resume", "scoring",
                 "decoding", "study")  # fmt: skip
        return {name: getattr(self, name) for name in names}

    def build(self) -> None:
        """Curation and mixture, as the study's but for the length of a sequence; where all packages are."""
        sections, sizes = json.loads(self._python("-c", _SECTIONS, str(self.carried / STUDY.name))), self.sizes
        mixture = sections["mixture"]
        mixture |= {"curation": str(self.out / "curation"), "sequence_length": sizes.sequence}
        mixture["tokenizer"]["train_bpe"]["vocab_size"] = sizes.vocabulary
        mixture["components"]["clean"]["tokens"] = sizes.tokens
        mixture["hold_out"] = sizes.study.get("mixture.hold_out", mixture["hold_out"])
        for kind, out in (("curation", self.out / "curation"), ("mixture", self.carried / "mixture")):
            file = self.carried / f"gpu-{kind}.yaml"
            file.write_text(json.dumps({"kind": kind, **sections[kind]}))  # JSON is YAML
            self._run(file, out)

    def parity(self) -> str:
        """Against a CPU."""
        return self._python("-m", "benchmarks.training.parity", gate=True)

    def throughput(self) -> str:
        """olmo-1b against transformers and the limit."""
        return self._throughput()

    def accumulated(self) -> str:
        """The optimizer's work spread over micro-batches."""
        return self._throughput("--micro-batches", "8", "--rounds", str(max(self.sizes.rounds // 3, 1)))

    def fp8(self) -> str:
        """Products of the layers in fp8."""
        return self._throughput("--precision", "fp8")

    def overhead(self) -> str:
        """Policies against a plain sum of cross-entropies."""
        return self._python("-m", "benchmarks.training.slung_overhead", *self._size(), gate=True)

    def train(self) -> str:
        """A whole run with a profile."""
        file = self._pretrain("train", profile={"after": 10, "steps": 3}, log_every=4, checkpoint_every=1000)
        out = self._run(file, self.out / "train")
        costs = (out / "profile" / "costs.txt").read_text().splitlines()[:12]
        return "\n".join([*_log_table(out), "", "```", *costs, "```"])

    def small(self) -> str:
        """Checkpoints beside a small model's steps."""
        sizes = self.sizes
        file = self._pretrain("small", model=sizes.small_preset, micro_batch_size=2 * sizes.rows,
                              global_batch_size=2 * sizes.rows, log_every=20, checkpoint_every=20)  # fmt: skip
        return "\n".join(_log_table(self._run(file, self.out / "small")))

    def resume(self) -> str:
        """Undisturbed, and killed once: the same weights bit for bit."""
        file = self._pretrain("resume", model=self.sizes.small_preset, deterministic=True, checkpoint_every=10)
        whole, killed = self._run(file, self.out / "undisturbed"), self.out / "killed"
        if not is_artifact(killed):
            step = self._kill_after(file, killed, steps=15)
            self._run(file, killed)
        else:
            step = 0
        same = digest_file(whole / "hf" / "model.safetensors") == digest_file(killed / "hf" / "model.safetensors")
        assert same, "the resumed run ended with other weights"
        return f"killed after step {step}, taken up again: the same weights bit for bit"

    def scoring(self) -> str:
        """A classifier of random weights over comments."""
        tokenizer = self.carried / "mixture" / "tokenizer" / "tokenizer.json"
        words = ["--texts", str(self.carried / "toxic.jsonl.gz"), "--tokenizer", str(tokenizer)]
        return self._python("-m", "benchmarks.scoring.gpu_scoring", *words, *self._rehearse, gate=True)

    def decoding(self) -> str:
        """Steering methods on a model of random weights."""
        return self._python("-m", "benchmarks.steering", *self._rehearse, gate=True)

    def study(self) -> str:
        """The dose-response study."""
        changes = [f"{key}={json.dumps(value)}" for key, value in self.sizes.study.items()]
        out = self._run(self.carried / STUDY.name, self.out / "study", *changes)
        return self._python("-m", "hormesis", "show", str(out))

    @property
    def _rehearse(self) -> list[str]:
        return ["--rehearse"] if self.sizes is SMALL else []

    def _throughput(self, *words: str) -> str:
        return self._python("-m", "benchmarks.training.pretrain_throughput", *self._size(), *words, gate=True)

    def _size(self) -> list[str]:
        sizes = self.sizes
        vocabulary = 50280 if sizes.preset == "olmo-1b" else sizes.vocabulary
        flags = {"preset": sizes.preset, "vocabulary": vocabulary, "sequence": sizes.sequence, "rows": sizes.rows,
                 "precision": sizes.precision, "rounds": sizes.rounds}  # fmt: skip
        return [word for name, value in flags.items() for word in (f"--{name}", str(value))]

    def _pretrain(self, name: str, **keys: Any) -> Path:
        sizes, file = self.sizes, self.out / f"{name}.yaml"
        spec = {"kind": "pretrain", "name": name, "mixture": str(self.carried / "mixture"), "model": sizes.preset,
                "precision": sizes.precision, "micro_batch_size": sizes.rows, "global_batch_size": sizes.batch,
                "loss": "slung-masked", "optimizer": {"lr": 4e-4}, **keys}  # fmt: skip
        file.write_text(json.dumps(spec))
        return file

    def _run(self, file: Path, out: Path, *changes: str) -> Path:
        sets = [word for change in changes for word in ("--set", change)]
        self._python("-m", "hormesis", "run", str(file), "--out", str(out), *sets)
        return out

    def _kill_after(self, file: Path, out: Path, steps: int) -> int:
        """Start a run, kill it with SIGKILL when it has logged so many steps; returns the last one."""
        command = [sys.executable, "-m", "hormesis", "run", str(file), "--out", str(out)]
        process = subprocess.Popen(command, cwd=ROOT, start_new_session=True)  # noqa: S603
        while process.poll() is None:
            checkpoints = [path for partial in partials_of(out) for path in checkpoints_in(partial / CHECKPOINTS)]
            done = max(map(checkpoint_step, checkpoints), default=0)
            if done >= steps:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                return done
            time.sleep(0.05)
        raise RuntimeError("the run ended before it could be killed")

    def _python(self, *words: str, gate: bool = False) -> str:
        """What a command prints; one with a gate says by 1 that it missed it, and that is a result too."""
        done = subprocess.run([sys.executable, *words], cwd=ROOT, stdout=subprocess.PIPE, text=True)  # noqa: S603
        if done.returncode not in ((0, 1) if gate and done.stdout else (0,)):
            raise RuntimeError(f"{' '.join(words[:3])} left with {done.returncode}:\n{done.stdout}")
        return done.stdout


_SECTIONS = """
import json, sys; from pathlib import Path; from infra.config.yaml_reader import read_yaml
data = read_yaml(Path(sys.argv[1])).data
print(json.dumps({name: data[name] for name in ("curation", "mixture")}))
"""


def _log_table(run: Path) -> list[str]:
    lines = [json.loads(line) for line in (run / "log.jsonl").open()]
    rows = [f"| {line['step']} | {line['tokens_per_second']:,.0f} | {line['mfu']} | {line['checkpoint_share']:.1%} |"
            for line in lines]  # fmt: skip
    return ["| step | tokens/s | MFU | share of time for checkpoints |", "|---|---|---|---|", *rows]


def pack(folder: Path, max_lines: int | None, bench: Bench) -> None:
    """Gather the study and its texts, of each file at most so many lines, and build the mixture."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(STUDY, folder / STUDY.name)
    for name, sources in PACKED.items():
        with gzip.GzipFile(folder / name, "wb", mtime=0) as file:
            for line in _lines(sources, max_lines):
                file.write(line)
    bench.build()
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    print(f"{folder}: {size / 2**20:.1f} MiB")


def _lines(sources: list[str], max_lines: int | None) -> Iterator[bytes]:
    for source in sources:
        with gzip.open(DATA / source) as lines:
            yield from itertools.islice(lines, max_lines)


def measure(bench: Bench, names: list[str]) -> int:
    """Do every part that has no result yet, then write the page; returns how many failed."""
    bench.out.mkdir(parents=True, exist_ok=True)
    failed = 0
    for name, measurement in bench.measurements().items():
        result = bench.out / f"{name}.md"
        if name not in names or result.exists():
            continue
        started = time.monotonic()
        try:
            text = measurement()
        except Exception as error:
            print(f"{name}: {error}", file=sys.stderr)
            failed += 1
            continue
        result.write_text(f"{text.strip()}\n\n({time.monotonic() - started:.0f} s)\n")
        print(f"{name}: done", flush=True)
    finished = [name for name in bench.measurements() if (bench.out / f"{name}.md").exists()]
    pages = [f"## {name}\n\n{(bench.out / f'{name}.md').read_text()}" for name in finished]
    (bench.out / "gpu.md").write_text("# On a GPU\n\n" + "\n".join(pages))
    return failed


def main() -> int:
    """Pack or measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pack", type=Path, help="folder to fill")
    parser.add_argument("--carried", type=Path, help="folder that --pack has filled")
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "gpu")
    names = list(Bench(Path(), Path(), FULL).measurements())
    parser.add_argument("--parts", nargs="+", choices=names, default=names)
    parser.add_argument("--rehearse", action="store_true", help="everything small: does it run at all?")
    options = parser.parse_args()
    sizes = SMALL if options.rehearse else FULL
    if options.pack:
        options.out.mkdir(parents=True, exist_ok=True)
        pack(options.pack, 1500 if options.rehearse else 60_000, Bench(options.pack, options.out, sizes))
        return 0
    if options.carried is None:
        parser.error("say --pack FOLDER or --carried FOLDER")
    return measure(Bench(options.carried, options.out, sizes), options.parts)


if __name__ == "__main__":
    sys.exit(main())
