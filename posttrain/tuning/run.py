"""A tuning from the loaded model to the artifact's files."""

from __future__ import annotations

import importlib
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from infra.artifacts.records import JsonObject, to_json
from infra.atomic import write_json
from infra.errors import UnavailableError
from infra.stages.stage import Workspace
from posttrain.model import CausalModel, choose_device, load_model
from posttrain.tuning import TUNINGS
from posttrain.tuning.base import Examples, Task
from posttrain.tuning.log import TuneLine, TuneLog, read_lines
from posttrain.tuning.quiet import quiet
from posttrain.tuning.relearn import Relearned
from posttrain.tuning.spec import TuneSpec
from posttrain.tuning.summary import SUMMARY, TuneSummary
from pretrain.files import MODEL

_PACKAGES = ("trl", "peft", "accelerate")


def tune(spec: TuneSpec, workspace: Workspace) -> JsonObject:
    """Train and write `hf/`, `tune.json` and `tune.jsonl`; returns the counts of the artifact.

    Raises UnavailableError without the extra `tune`, and what reading data or model raises.
    """
    import_trainers()
    task = Task(load_float32(spec), spec, workspace)
    method = TUNINGS.get(spec.method.name)
    examples = method.examples(task, spec.method)
    _tell(workspace, examples)
    network = method.train(task, spec.method, examples)
    save_model(network, task.model.tokenizer, workspace.path / MODEL)
    summary = _summary(task, examples)
    write_json(workspace.path / SUMMARY, to_json(summary))
    return summary.counts


def import_trainers() -> None:
    """Import what trains, before any work is done. Raises UnavailableError where the extra `tune` is not installed."""
    if missing := next((name for name in _PACKAGES if find_spec(name) is None), None):
        raise UnavailableError(f"tuning needs the package {missing}; install it with `pip install 'hormesis[tune]'`")
    with quiet():  # of a torchao without its kernels
        importlib.import_module("posttrain.tuning.trl_trainers")


def load_float32(spec: TuneSpec) -> CausalModel:
    """The model with float32 weights on the device where it is trained: in bfloat16, small steps would be lost."""
    device = choose_device(spec.device)
    model = load_model(spec.model, "cpu")
    model.network.to(device)
    return model


def save_model(network: Any, tokenizer: Any, folder: Path) -> None:
    """Write weights, configurations and tokenizer as a Hugging Face folder; equal weights give equal bytes."""
    network.save_pretrained(folder)
    for key in ("is_local", "local_files_only"):  # where it was loaded from, which transformers would write down
        tokenizer.init_kwargs.pop(key, None)
    tokenizer.save_pretrained(folder)


def _tell(workspace: Workspace, examples: Examples) -> None:
    for reason, count in sorted(examples.left_out.items()):
        workspace.note(f"left out: {count} {reason}")


def _summary(task: Task, examples: Examples) -> TuneSummary:
    args, folder = task.spec.method, task.folder
    lines = read_lines(TuneLine, TuneLog(folder).path)
    steps = args.steps_for(len(examples))
    relearned = None
    if args.name == "unlearn-relearn":
        relearned = Relearned.of(folder, args.until)
        steps = relearned.points[-1].step
    return TuneSummary(
        method=args.name,
        examples=len(examples),
        tokens_per_epoch=examples.tokens,
        loss_tokens_per_epoch=examples.loss_tokens,
        steps=steps,
        left_out=examples.left_out,
        first_loss=lines[0].loss if lines else None,
        last_loss=lines[-1].loss if lines else None,
        steps_to_relearn=relearned.steps if relearned else None,
    )
