"""Steps of a curation, one a file; a new one has its options in `options.py` and its class in the table here. Imports
everything of this floor but the pipeline, which runs them.
"""

from __future__ import annotations

from curation.steps.base import Context, Step
from curation.steps.base_options import StepSpec
from infra.config.registry import Registry

STEPS: Registry[Step] = Registry(
    "step",
    {
        "c4_quality": "curation.steps.filters.c4_quality:C4Quality",
        "cascade": "curation.steps.cascade:Cascade",
        "decontaminate": "curation.steps.decontaminate:Decontaminate",
        "exact_dedup": "curation.steps.dedup.exact_dedup:ExactDedup",
        "fasttext": "curation.steps.fasttext:FasttextStep",
        "fineweb_quality": "curation.steps.filters.fineweb_quality:FinewebQuality",
        "gopher_quality": "curation.steps.filters.gopher_quality:GopherQuality",
        "gopher_repetition": "curation.steps.filters.gopher_repetition:GopherRepetition",
        "language": "curation.steps.language:Language",
        "minhash": "curation.steps.dedup.minhash:Minhash",
        "pii": "curation.steps.pii:Pii",
        "regex": "curation.steps.filters.regex:Regex",
        "score": "curation.steps.score:Score",
        "statistics": "curation.steps.statistics:Statistics",
        "tag": "curation.steps.tag:Tag",
        "where": "curation.steps.filters.where:WhereStep",
    },
)


def make_step(spec: StepSpec) -> Step:
    """The step that `spec` asks for."""
    return STEPS.get(spec.step)(spec)


__all__ = ["STEPS", "Context", "Step", "StepSpec", "make_step"]
