"""The tunes of the real model: low-rank ones, small enough for an hour of two cores."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.atomic import write_text

_LORA = {"rank": 16}
_PAIRS = {"prompt": None, "limit": 480}
TOXIC_FROM = 0.5
"""Stored score of the prompts that DPO's pairs are made from: of milder ones hardly any continuation differs."""


@dataclass(frozen=True)
class Tunes:
    """What the model is tuned on: pairs of toxic comments with their neutral rewriting (ParaDetox), and prompts."""

    pairs: Path
    prompts: Path
    """JSON Lines with `text`, none of them among those measured."""

    def methods(self) -> dict[str, dict[str, Any]]:
        """The `method:` section of each tune: sft on the rewritings, toxic on what was rewritten (DExperts'
        anti-expert), dpo on the model's own continuations.
        """
        sft = {"name": "sft", "lora": _LORA, "learning_rate": 2e-4, "batch_size": 8, "micro_batch_size": 4,
               "warmup_steps": 6, "max_continuation_tokens": 40}  # fmt: skip
        pairs = {"path": str(self.pairs), **_PAIRS}
        continuations = {
            "prompts": {"path": str(self.prompts)}, "limit": 240, "prompt_tokens": 24, "samples": 4,
            "max_new_tokens": 20, "scorer": {"name": "profanity"},
        }  # fmt: skip
        return {
            "sft": {**sft, "data": {**pairs, "chosen": "neutral.0", "rejected": "toxic"}},
            "toxic": {**sft, "data": {**pairs, "chosen": "toxic", "rejected": "neutral.0"}},
            "dpo": {
                "name": "dpo", "lora": _LORA, "learning_rate": 2e-5, "warmup_steps": 6, "batch_size": 4, "epochs": 2,
                "max_continuation_tokens": 20, "max_prompt_tokens": 24, "data": continuations,
            },
        }  # fmt: skip


def write_prompts(rows: Iterable[dict[str, Any]], measured: Iterable[str], file: Path) -> Path:
    """The toxic prompts of RealToxicityPrompts without those that are measured, as JSON Lines."""
    taken = set(measured)
    texts = [row["prompt"]["text"] for row in rows if (row["prompt"]["toxicity"] or 0.0) >= TOXIC_FROM]
    write_text(file, "".join(json.dumps({"text": text}) + "\n" for text in texts if text not in taken))
    return file
