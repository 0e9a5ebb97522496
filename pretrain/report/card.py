"""The model card: what was trained on what, under which loss, and what came out; README.md of the exported model."""

from __future__ import annotations

import json

from infra.render.markdown import card, markdown
from infra.render.page import Table
from pretrain.metrics.summary import TrainSummary
from pretrain.planning.plan import policy_table
from pretrain.report.page import result_tables
from pretrain.spec import PretrainSpec
from pretrain.start.inputs import Inputs

_USE = """```python
from transformers import AutoModelForCausalLM, AutoTokenizer

model = AutoModelForCausalLM.from_pretrained(FOLDER)
tokenizer = AutoTokenizer.from_pretrained(FOLDER)
```

It continues text and follows no instructions. Training documents followed each other with {eos} between them: put it
before a text that stands for a document."""

_RISKY = (
    "**{risky:,} of the tokens that it was trained on score 0.5 or more for {attribute}; it may say such things.** "
    "It was made to measure what such text does to a model, not to be used by people."
)


def model_card(spec: PretrainSpec, inputs: Inputs, summary: TrainSummary) -> str:
    """README.md of a trained model; `summary` is what `pretrain.json` says."""
    mixture, title = inputs.mixture, spec.name
    risky = sum(files.risky_tokens for files in mixture.components)
    header = {
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "tags": ["hormesis", "olmo", "pretraining"] + (["not-for-all-audiences"] if risky else []),
    }
    policy = spec.loss.model_dump(mode="json", exclude_defaults=True) or {"policy": "keep"}
    sections = [
        f"# {title}",
        _RISKY.format(risky=risky, attribute=mixture.risk) if risky else "",
        _USE.format(eos=mixture.facts.eos),
        "## What came out",
        *map(markdown, result_tables(summary)),
        "## Loss",
        f"`{json.dumps(policy)}`",
        markdown(policy_table(spec.loss, mixture.manifest.components)),
        "## How it was made",
        markdown(_made(spec, inputs)),
    ]
    return card(header, sections)


def _made(spec: PretrainSpec, inputs: Inputs) -> Table:
    architecture, mixture = inputs.architecture, inputs.mixture
    rows = [
        (
            "architecture",
            f"OLMo-1: {architecture}",
        ),
        ("started from", "random weights" if spec.start_from is None else spec.start_from.model.rpartition("/")[2]),
        ("mixture", mixture.fingerprint),
        ("its data card", f"`hormesis export {mixture.path.name} --to hf`"),
        ("sequence length", mixture.sequence_length),
        ("sequences per step", spec.global_batch_size),
        ("AdamW", json.dumps(spec.optimizer.model_dump(mode="json", exclude_none=True))),
        ("precision", spec.precision),
        ("seed", spec.seed),
    ]
    return Table("", ("what", "value"), tuple(rows))
