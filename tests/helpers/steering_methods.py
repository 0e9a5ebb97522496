"""Arguments that make every steering method one that can be fitted, for tests that go through all of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def needed_options(name: str, model: str | Path = "a/model") -> dict[str, Any]:
    """What a method cannot do without, as in YAML; where it needs a further model, `model`."""
    return {
        "word_filter": {"words": ["you", "shut up", "lunch"]},
        "dexperts": {"anti_expert": str(model)},
        "conditioned": {"good": "a kind reply:\n"},
        "prompt": {"text": "a kind reply:\n"},
    }.get(name, {})


def method_section(name: str, model: str | Path) -> dict[str, Any]:
    """The `method:` of a posttrain specification."""
    return {"name": name, **needed_options(name, model)}
