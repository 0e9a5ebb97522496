"""Steps of a curation, one a file; a new one has its options in `options.py` and its class in the table here."""

from __future__ import annotations

from curation.steps.base import Context, Step
from curation.steps.base_options import StepSpec
from infra.registry import Registry

STEPS: Registry[Step] = Registry(
    "step",
    {
        "c4_quality": "curation.steps.c4_quality:C4Quality",
        "cascade": "curation.steps.cascade:Cascade",
        "decontaminate": "curation.steps.decontaminate:Decontaminate",
        "exact_dedup": "curation.steps.exact_dedup:ExactDedup",
        "fasttext": "curation.steps.fasttext:Fasttext",
        "fineweb_quality": "curation.steps.fineweb_quality:FinewebQuality",
        "gopher_quality": "curation.steps.gopher_quality:GopherQuality",
        "gopher_repetition": "curation.steps.gopher_repetition:GopherRepetition",
        "language": "curation.steps.language:Language",
        "minhash": "curation.steps.minhash:Minhash",
        "pii": "curation.steps.pii:Pii",
        "regex": "curation.steps.regex:Regex",
        "score": "curation.steps.score:Score",
        "statistics": "curation.steps.statistics:Statistics",
        "tag": "curation.steps.tag:Tag",
        "where": "curation.steps.where:WhereStep",
    },
)


def make_step(spec: StepSpec) -> Step:
    """The step that `spec` asks for."""
    return STEPS.get(spec.step)(spec)


__all__ = ["STEPS", "Context", "Step", "StepSpec", "make_step"]
