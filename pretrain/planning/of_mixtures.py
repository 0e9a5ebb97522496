"""`kind: mixture` as the front door plans it: also what training on it would take, which its own floor cannot know."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from infra.render.page import Plan, Table
from mixtures.spec.mixture import MixtureSpec
from mixtures.stage import MIXTURE as BUILT
from pretrain.gpus import GPUS
from pretrain.model.architecture import Architecture
from pretrain.spec import ModelSpec

_MODELS = ("olmo-60m", "olmo-150m", "olmo-1b")
_GPU: Literal["H100"] = "H100"
_MFU = 0.4  # OLMo-core's published 44,000 tokens/s of OLMo-1B on an H100 come to that
_TOKENS_PER_STEP = 2048 * 2048  # OLMo's batch
_VOCABULARY = 50304  # OLMo's, for the sizes that bring none
_COLUMNS = ("model", "parameters", "tokens per parameter", "tokens a step", "steps", "FLOPs", f"{_GPU} hours")


def plan(spec: MixtureSpec) -> Plan:
    """The mixture's plan and a table of trainings on it. Raises InputError, AmountError."""
    from mixtures.planning.forecast import foresee
    from mixtures.planning.plan import plan_of

    foreseen = foresee(spec)
    planned = plan_of(spec, foreseen)
    rows = tuple(_row(model, foreseen.tokens, foreseen.samples(spec.sequence_length), spec) for model in _MODELS)
    note = f"hours of one {_GPU} at {_MFU:.0%} of its bf16 peak; other models, batches and GPUs: hormesis plan PRETRAIN"
    return replace(planned, tables=(*planned.tables, Table("one epoch of training", _COLUMNS, rows)),
                   notes=(*planned.notes, note))  # fmt: skip


def _row(model: str, tokens: int, samples: int, spec: MixtureSpec) -> tuple[object, ...]:
    size = ModelSpec.model_validate(
        {"preset": model, "vocab_size": _VOCABULARY, "max_sequence_length": spec.sequence_length}
    )
    architecture = Architecture.from_spec(size, _VOCABULARY, spec.sequence_length)
    batch = max(1, _TOKENS_PER_STEP // spec.sequence_length)
    flops = architecture.flops_per_token(spec.sequence_length) * tokens
    return (model, architecture.parameters, round(tokens / architecture.parameters, 2), batch * spec.sequence_length,
            -(-samples // batch), f"{flops:.3g}", round(flops / (GPUS[_GPU].flops * _MFU) / 3600, 2))  # fmt: skip


MIXTURE = replace(BUILT, plan=plan)
