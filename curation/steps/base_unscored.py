"""What the steps share that leave documents unscored: counts by reason, shard by shard."""

from __future__ import annotations

import json
from collections import Counter

from curation.steps.base import Context
from infra.atomic import write_json


def tell_unscored(context: Context, rank: int, reasons: Counter[str]) -> None:
    """Write how many documents of a shard the step could tell nothing about, by reason."""
    write_json(context.folder / "unscored" / f"{context.shards[rank].stem}.json", dict(sorted(reasons.items())))


def unscored_in(context: Context) -> dict[str, int]:
    """The same of all shards, when they are done."""
    reasons: Counter[str] = Counter()
    for shard in context.shards:
        file = context.folder / "unscored" / f"{shard.stem}.json"
        reasons.update(json.loads(file.read_text(encoding="utf-8")))
    return dict(sorted(reasons.items()))
