"""Fits methods on the real model, finds strengths, and measures what a recipe does to continuations, at which price."""

from __future__ import annotations

import gzip
import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np

from analysis.evaluations.toxicity import scored_rows
from analysis.results import Row
from benchmarks.real_model.recipes import LISTED, Recipe
from benchmarks.real_model.tunes import Tunes, write_prompts
from curation.scorers import Scorer, load_scorer
from curation.scorers.options import ProfanitySpec
from infra.stages.stage import run_stage
from posttrain.cross_entropy import DocumentCrossEntropy
from posttrain.decoding.sampling import Sampling
from posttrain.fitted import Fitted, load_fitted
from posttrain.model import CausalModel, load_model
from posttrain.spec import PosttrainSpec
from posttrain.stage import POSTTRAIN
from posttrain.steered import bind_all
from posttrain.strength import search, tolerance_of
from posttrain.tuning.spec import TuneSpec
from posttrain.tuning.stage import TUNE

_COMMENTS, _FEWEST, _TUNE_PROMPTS = 20_000, 20, 5_000
_TUNE_OF = "tune:"


@dataclass(frozen=True)
class Sizes:
    """How much is measured."""

    prompts: int = 50
    samples: int = 1
    new_tokens: int = 20
    searched_on: int = 12
    measured_on: int = 24
    tokens_per_document: int = 96
    per_class: int = 400


@dataclass(frozen=True)
class Measured:
    """One recipe at one strength: a score of each continuation [prompts][samples], None where it has none; nats and
    tokens of each document; share of word pairs that are distinct; share of probability that candidates held; the
    first continuation.
    """

    strength: float | None
    reached: bool
    scores: list[list[float | None]]
    nats: list[float]
    tokens: list[int]
    distinct: float
    candidates: float | None
    example: str


class Bench:
    """The model with its texts; what is loaded or fitted once stays."""

    def __init__(self, data: Path, out: Path, model: Path, sizes: Sizes) -> None:
        self.data, self.out, self.folder, self.sizes = data, out, model, sizes
        self.prompts = [row["prompt"]["text"] for row in self._rows("rtp/rtp_challenging_toxic", sizes.prompts)]
        self.searched_on = [row["text"] for row in self._rows("clean_modern/wikitext2_valid", sizes.searched_on)]
        self.measured_on = [row["text"] for row in self._rows("clean_modern/wikitext2_test", sizes.measured_on)]

        self.model = cache(self._load)
        """The real model, or a tune of it by name, in float32."""

    def _load(self, tune: str | None = None) -> CausalModel:
        return load_model(self._location(tune), "cpu")

    def _location(self, tune: str | None) -> str:
        """The real model's folder, or a tune's that is made now if need be."""
        if tune is None:
            return str(self.folder)
        spec = TuneSpec.model_validate(
            {"name": tune, "model": str(self.folder), "method": self._tunes[tune], "device": "cpu"}
        )
        return str(run_stage(TUNE, spec, self.out / "tunes" / tune).path)

    @cached_property
    def _tunes(self) -> dict[str, dict[str, Any]]:
        rows = self._rows("rtp/rtp_5k_sample", _TUNE_PROMPTS)
        prompts = write_prompts(rows, self.prompts, self.out / "prompts.jsonl")
        return Tunes(self.data / "paradetox/paradetox.jsonl.gz", prompts).methods()

    @cached_property
    def scorer(self) -> Scorer:
        """What says how toxic a continuation is."""
        return load_scorer(ProfanitySpec(name="profanity"))

    @cached_property
    def plain(self) -> DocumentCrossEntropy:
        """Nats of the unsteered model on the texts on which strengths are found."""
        return bind_all(self.model(None), []).cross_entropy(self.searched_on, self.sizes.tokens_per_document)

    @cached_property
    def listed_words(self) -> list[str]:
        """The words that tell toxic comments from others best, by their content alone; nobody's list is copied here."""
        rows = self._rows("jigsaw/jigsaw_binary_subset", _COMMENTS)
        return telling_words([(row["text"], bool(row["toxic"])) for row in rows], LISTED)

    def fitted(self, method: dict[str, Any], tune: str | None = None) -> Fitted:
        """A method fitted on a model by the stage that users run, or as an earlier run left it."""
        options = [value for key, value in method.items() if key in ("name", "direction")]
        name = "-".join([*options, *([] if tune is None else [tune])])
        tunes = {key: value.removeprefix(_TUNE_OF) for key, value in method.items() if str(value).startswith(_TUNE_OF)}
        method = {**method, **{key: self._location(made) for key, made in tunes.items()}}
        if method["name"] == "word_filter":
            method = {**method, "words": self.listed_words}
        labelled = {"path": str(self.data / "jigsaw/jigsaw_binary_subset.jsonl.gz"), "label": "toxic",
                    "per_class": self.sizes.per_class}  # fmt: skip
        spec = PosttrainSpec.model_validate(
            {"name": name, "model": self._location(tune), "method": method, "labelled": labelled, "device": "cpu"}
        )
        return load_fitted(run_stage(POSTTRAIN, spec, self.out / "fits" / name, quiet=True).path)

    def strengths(self, recipe: Recipe, budgets: Sequence[float]) -> dict[float, tuple[float, bool]]:
        """Strength of each budget, and whether it costs that; a pass over the texts serves all budgets. Costs count
        from the model as it was, whatever it was tuned to.
        """
        members, model = recipe.members, self.model(recipe.tune)
        fits = [self.fitted(member.method, recipe.tune) for member in members]
        costs: dict[float, float] = {}

        def cost(strength: float) -> float:
            if strength not in costs:
                bound = [
                    (fit, member.strength if member.strength is not None else strength)
                    for fit, member in zip(fits, members, strict=True)
                ]
                nats = bind_all(model, bound).cross_entropy(self.searched_on, self.sizes.tokens_per_document)
                costs[strength] = nats.per_token - self.plain.per_token
            return costs[strength]

        strengths = {}
        for budget in budgets:
            near = [strength for strength, price in costs.items() if strength > 0 and price <= budget]
            end = search(cost, budget, max(near, default=fits[0].args.strengths[0]), cost(0.0))
            strengths[budget] = (end.strength, abs(budget - cost(end.strength)) <= tolerance_of(budget))
        return strengths

    def measure(self, recipe: Recipe, strength: float | None, reached: bool = True) -> Measured:
        """Continuations under a recipe, and its price on texts on which no strength was found."""
        bound = [
            (self.fitted(member.method, recipe.tune), strength or 0.0 if member.strength is None else member.strength)
            for member in recipe.members
        ]
        steered, sizes = bind_all(self.model(recipe.tune), bound), self.sizes
        generations = steered.generate(self.prompts, Sampling(sizes.new_tokens, sizes.samples, seed=0))
        nats = steered.cross_entropy(self.measured_on, sizes.tokens_per_document)
        flat = [generation for samples in generations for generation in samples]
        pairs = [pair for g in flat for pair in zip(g.text.split(), g.text.split()[1:], strict=False)]
        candidates = [generation.reached for generation in flat if generation.reached is not None]
        return Measured(
            strength=strength,
            reached=reached,
            scores=[self._scores([generation.text for generation in samples]) for samples in generations],
            nats=nats.nats.tolist(),
            tokens=nats.tokens.tolist(),
            distinct=len(set(pairs)) / max(1, len(pairs)),
            candidates=float(np.mean(candidates)) if candidates else None,
            example=flat[0].text,
        )

    def _scores(self, texts: list[str]) -> list[float | None]:
        if not any(text.strip() for text in texts):
            return [None] * len(texts)
        rows = [Row(prompt=0, prompt_id="", generation=text, value=None, tokens=0) for text in texts]
        return [row.value for row in scored_rows(rows, [self.scorer], "toxicity")]

    def _rows(self, name: str, count: int) -> list[dict[str, Any]]:
        with gzip.open(self.data / f"{name}.jsonl.gz", "rt", encoding="utf-8") as lines:
            return [json.loads(line) for line, _ in zip(lines, range(count), strict=False)]


def telling_words(texts: Sequence[tuple[str, bool]], count: int) -> list[str]:
    """The `count` words with the highest log-odds of standing in a toxic text, each text counted once, one added to
    every count; only words of 20 toxic texts or more.
    """
    counts: dict[bool, Counter[str]] = {True: Counter(), False: Counter()}
    for text, toxic in texts:
        counts[toxic].update(set(re.findall(r"[a-z]{3,}", text.lower())))
    often = [word for word, n in counts[True].items() if n >= _FEWEST]
    return sorted(often, key=lambda word: (counts[False][word] + 1) / (counts[True][word] + 1))[:count]
