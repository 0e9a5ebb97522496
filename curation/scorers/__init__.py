"""Scorers, one a file; a new one has its options in `options.py` and its class in the table here. Imports
`curation.models` and `curation.classify`; whatever needs a score of a text imports it, documents by way of
`curation.scoring`.
"""

from __future__ import annotations

import json
from functools import lru_cache

from pydantic import TypeAdapter

from curation.models.calibration import Calibration, read_calibration
from curation.scorers.base import Card, Scorer
from curation.scorers.options import AnyScorer, ScorerSpec
from infra.artifacts.fingerprint import digest
from infra.config.registry import Registry

SCORERS: Registry[Scorer] = Registry(
    "scorer",
    {
        "detoxify": "curation.scorers.detoxify:Detoxify",
        "distilled": "curation.scorers.distilled:Distilled",
        "ensemble": "curation.scorers.ensemble:Ensemble",
        "fasttext": "curation.scorers.fasttext:FasttextScorer",
        "linear": "curation.scorers.linear:Linear",
        "profanity": "curation.scorers.profanity:Profanity",
        "transformers": "curation.scorers.transformers:Transformers",
        "word_list": "curation.scorers.word_list:WordList",
    },
)
_IN_A_PROCESS: Registry[Scorer] = Registry("process of a scorer", {"limited": "curation.scorers.limited:Limited"})
"""By its place and not imported: it loads its scorer with `load_scorer`, as an ensemble does."""
_OPTIONS: TypeAdapter[AnyScorer] = TypeAdapter(AnyScorer)


def load_scorer(spec: ScorerSpec) -> Scorer:
    """Load the scorer that `spec` names, with its calibration, in a process of its own where it has a limit of time.
    Raises InputError, UnavailableError with advice.
    """
    if spec.timeout_seconds is not None:
        return _IN_A_PROCESS.get("limited").load(spec)
    scorer = SCORERS.get(spec.name).load(spec)
    if spec.calibration:
        scorer.calibrate(_calibration_of(spec, spec.calibration))
    return scorer


def _calibration_of(spec: ScorerSpec, folder: str) -> Calibration:
    return read_calibration(folder, spec.name, possible_weights(uncalibrated(spec)))


def loaded_scorer(spec: ScorerSpec) -> Scorer:
    """The scorer that `spec` names, loaded once per process."""
    return _loaded(json.dumps(spec.model_dump(mode="json"), sort_keys=True))


@lru_cache(maxsize=4)
def _loaded(key: str) -> Scorer:
    return load_scorer(_OPTIONS.validate_json(key))


def weights_of(spec: ScorerSpec) -> str:
    """Checksum of a scorer's weights, of the options that change its scores, and of its calibration."""
    weights = SCORERS.get(spec.name).weights(spec)
    if not spec.calibration:
        return weights
    return digest([weights, _calibration_of(spec, spec.calibration).fingerprint])


def possible_weights(spec: ScorerSpec) -> set[str]:
    """What `weights_of` may turn out to be where part of `spec` is left to the machine that scores."""
    kind = SCORERS.get(spec.name)
    return {kind.weights(definite) for definite in kind.possible(spec)}


def uncalibrated(spec: ScorerSpec) -> ScorerSpec:
    """The same scorer without its calibration."""
    return spec.model_copy(update={"calibration": None})


def unlimited(spec: ScorerSpec) -> ScorerSpec:
    """The same scorer without a limit of time."""
    return spec.model_copy(update={"timeout_seconds": None})


def card_of(spec: ScorerSpec) -> Card:
    """Languages and blind spots of the scorer that `spec` names, without loading it."""
    return SCORERS.get(spec.name).card(spec)


__all__ = ["SCORERS", "Card", "Scorer", "ScorerSpec", "card_of", "load_scorer", "loaded_scorer", "possible_weights",
           "uncalibrated", "unlimited", "weights_of"]  # fmt: skip
