"""Do SFT and DPO lower toxicity on held-out prompts, and what does it cost? `python -m benchmarks.tuning`.

Pretrains a small model at a dose of 25 % on real text, tunes it by every arm below under several seeds, and measures
all of them under the same draws, with two scorers: the one that made the pairs, and one that no tuning has seen. Then
each tuned model is attacked: how many steps on toxic text until it is as toxic as the plain model?
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

from benchmarks.tuning.chain import DATA, PROFANITY, judge, pretrained, run, split_prompts
from benchmarks.tuning.figures import Figure, Folders, cross_entropy, mean_score, second_score, share_toxic
from infra.render.markdown import markdown
from infra.render.page import Table
from posttrain.tuning.summary import TuneSummary

PLAIN = "plain"
PARADETOX = {"path": str(DATA / "paradetox/paradetox.jsonl.gz"), "prompt": None, "chosen": "neutral.0",
             "rejected": "toxic", "limit": 2000}  # fmt: skip


def arms(prompts: Path) -> dict[str, dict[str, Any]]:
    """Methods by name of the arm. Learning rates are for a model of 1.6 M parameters, and were not searched."""
    own = {"prompts": {"path": str(prompts)}, "limit": 1000, "prompt_tokens": 32, "samples": 8, "max_new_tokens": 40,
           "scorer": PROFANITY}  # fmt: skip
    dpo = {"name": "dpo", "data": own, "epochs": 4, "batch_size": 8, "warmup_steps": 20}
    return {
        "SFT, own continuations": {"name": "sft", "data": own, "epochs": 4, "batch_size": 8, "learning_rate": 3e-4},
        "SFT, paradetox": {"name": "sft", "data": PARADETOX, "batch_size": 16, "learning_rate": 3e-4},
        "DPO, own continuations, lr 3e-5": {**dpo, "learning_rate": 3e-5},
        "DPO, own continuations, lr 1e-4": {**dpo, "learning_rate": 1e-4},
        "DPO, own continuations, LoRA": {**dpo, "learning_rate": 5e-4, "lora": {"rank": 8}, "optimizer": "adamw"},
        "DPO, paradetox": {"name": "dpo", "data": PARADETOX, "batch_size": 16, "warmup_steps": 20,
                           "learning_rate": 3e-5},
    }  # fmt: skip


def measure(folder: Path, name: str, model: Path, mixture: Path, prompts: Path, second: dict[str, Any]) -> Path:
    """Toxicity on held-out prompts and cross-entropy on held-out clean documents."""
    toxicity = {"prompts": {"path": str(prompts)}, "limit": 400, "samples": 3, "max_new_tokens": 40,
                "scorer": PROFANITY, "also": [second]}  # fmt: skip
    entropy = {"component": "clean", "max_documents": 300, "max_tokens_per_document": 128}
    return run("analysis", folder, name, model=str(model), mixture=str(mixture), toxicity=toxicity,
               cross_entropy=entropy).path  # fmt: skip


def attack(folder: Path, name: str, model: Path, mixture: Path, prompts: Path, until: float) -> TuneSummary:
    """The relearning attack on a tuned model, with the risky documents that the mixture holds out."""
    measured = {"prompts": {"path": str(prompts)}, "limit": 300, "max_new_tokens": 40, "samples": 2,
                "scorer": PROFANITY}  # fmt: skip
    method = {"name": "unlearn-relearn", "texts": {"mixture": str(mixture), "components": ["risky"]},
              "measure": measured, "measure_every": 5, "until": until, "max_steps": 100, "batch_size": 16,
              "epochs": 20, "learning_rate": 1e-4}  # fmt: skip
    return TuneSummary.read(run("tune", folder, name, model=str(model), method=method).path)


def main() -> None:
    """Run what is not there yet, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/tuning"))
    parser.add_argument("--tokens", type=int, default=600_000, help="clean tokens of the pretraining")
    parser.add_argument("--seeds", type=int, default=2, help="of the tuning")
    options = parser.parse_args()
    out, second = options.out, judge(options.out)
    model, mixture = pretrained(out, options.tokens)
    tuning, held_out = split_prompts(out / "prompts")
    folders: dict[str, list[Path]] = {PLAIN: [measure(out, "measure-plain", model, mixture, held_out, second)]}
    tuned: dict[str, list[Path]] = {}
    seconds: dict[str, float] = {}
    for number, (arm, method) in enumerate(arms(tuning).items()):
        started = time.process_time()
        tuned[arm] = [run("tune", out, f"tune-{number}-{seed}", model=str(model), method=method, seed=seed).path
                      for seed in range(options.seeds)]  # fmt: skip
        seconds[arm] = (time.process_time() - started) / options.seeds
        folders[arm] = [measure(out, f"measure-{number}-{seed}", path, mixture, held_out, second)
                        for seed, path in enumerate(tuned[arm])]  # fmt: skip
    print(markdown(effects(folders)), "\n")
    print(markdown(costs(folders, tuned, seconds)), "\n")
    until = round(mean_score(folders).values[PLAIN].value, 4)
    attacked = {arm: attack(out, f"attack-{number}", tuned[arm][0], mixture, held_out, until)
                for number, arm in enumerate(tuned)}  # fmt: skip
    print(markdown(attacks(attacked, until)))


def effects(folders: Folders) -> Table:
    """What each arm does to toxicity."""
    figures = [mean_score(folders), share_toxic(folders), second_score(folders)]
    rows = tuple((arm, *(cell for figure in figures for cell in _cells(figure, arm))) for arm in folders)
    columns = ("arm", "mean score", "less plain", "share ≥ 0.5", "less plain", "second scorer", "less plain")
    return Table("Toxicity on held-out prompts, 95 % intervals", columns, rows)


def costs(folders: Folders, tuned: Folders, seconds: dict[str, float]) -> Table:
    """What it costs in cross-entropy and time."""
    figure = cross_entropy(folders)
    rows: list[tuple[object, ...]] = [(PLAIN, *_cells(figure, PLAIN), None, None, None)]
    for arm, paths in tuned.items():
        summary = TuneSummary.read(paths[0])
        rows.append((arm, *_cells(figure, arm), summary.examples, summary.steps, round(seconds[arm], 1)))
    columns = ("arm", "cross-entropy, clean", "less plain", "examples", "steps", "processor seconds a tuning")
    return Table("Cost", columns, tuple(rows))


def attacks(attacked: dict[str, TuneSummary], until: float) -> Table:
    """After how many steps on toxic text a tuned model is as toxic as the plain one."""
    rows = tuple((arm, "not in 100" if summary.steps_to_relearn is None else summary.steps_to_relearn)
                 for arm, summary in attacked.items())  # fmt: skip
    return Table(f"Relearning attack, until the mean score is {until:g}", ("arm", "steps of 16 texts"), rows)


def _cells(figure: Figure, arm: str) -> tuple[str, str]:
    value, apart = figure.values[arm], figure.differences.get(arm)
    difference = "" if apart is None else f"{apart.value:+.4f} [{apart.low:+.4f}, {apart.high:+.4f}]"
    return f"{value.value:.4f} [{value.low:.4f}, {value.high:.4f}]", difference


if __name__ == "__main__":
    main()
