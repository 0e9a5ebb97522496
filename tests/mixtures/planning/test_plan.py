"""Plans: from manifests alone, and as exact as what they can look at.

Covers mixtures.planning.estimate, mixtures.planning.forecast, mixtures.planning.plan and pretrain.planning.of_mixtures.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from curation.corpus.risk_levels import THRESHOLDS
from infra.artifacts.artifact import write_manifest
from infra.errors import AmountError, InputError
from mixtures.formats import risk
from mixtures.planning import forecast
from mixtures.planning.forecast import foresee
from mixtures.planning.plan import plan_mixture
from mixtures.spec.mixture import MixtureSpec
from pretrain.planning.of_mixtures import MIXTURE
from tests.helpers.tagged_corpora import build, mixture_data, mixture_spec


def huge_curation(folder: Path, shards: int, characters: int) -> Path:
    """Manifests of corpora `web` and `forum`; there is not one shard on the disk, so that nobody can look into it."""
    words, documents = characters // 5, characters // 2000
    histogram = [documents // 2, documents // 4, *[0] * 8, documents // 4, *[0] * 9]
    levels = {"documents": [documents // 2, *[0] * 3, documents // 4, 0, 0, documents // 4, *[0] * 3],
              "words": [0, *[0] * 6, words // 100, *[0] * 2, words // 1000]}  # fmt: skip
    sources = {"a": {"documents": documents, "characters": characters, "words": words, "levels": {"toxicity": levels}}}
    files = [{"name": f"{number:05d}.parquet", "documents": documents // shards, "characters": characters // shards}
             for number in range(shards)]  # fmt: skip
    corpus = {"documents": documents, "characters": characters, "words": words, "bytes": characters, "files": files,
              "attributes": ["toxicity"], "tagger": {"attributes": ["toxicity"]}, "sources": sources,
              "histogram": {"toxicity": histogram}}  # fmt: skip
    small = corpus | {"files": files[:1]}
    folder.mkdir()
    (folder / "manifest.json").write_text(json.dumps({"corpora": {"web": corpus, "forum": small}}))
    fields: dict[str, Any] = {"config": {}, "inputs": {}, "counts": {}, "notes": [], "started": ""}
    write_manifest(folder, {}, kind="curation", version=1, fingerprint="0" * 64, **fields)
    return folder


def huge_mixture(curation: Path, **changes: Any) -> MixtureSpec:
    components = {
        "clean": {"corpus": "web", "where": "toxicity < 0.5", "tokens": 1_000_000_000_000},
        "risky": {"corpus": "forum", "fraction_of_total": 0.1},
    }
    data = mixture_data(curation, sequence_length=2048, components=components, hold_out={"clean": 1_000_000})
    return MixtureSpec.model_validate(data | {"tokenizer": {"hub": "allenai/OLMo-1B-hf"}} | changes)


def test_a_trillion_tokens_in_a_hundred_thousand_shards_are_planned_from_manifests(tmp_path: Path) -> None:
    spec = huge_mixture(huge_curation(tmp_path / "huge", 100_000, 8_400_000_000_000))
    foreseen = foresee(spec)
    clean, risky = foreseen.components
    assert not foreseen.exact and (clean.taken, risky.taken) == (1_000_000_000_000, 111_111_111_111)
    assert clean.available == pytest.approx(0.75 * 2.0042e12, rel=1e-3)  # what lies above 0.5 is a quarter
    assert risky.risky is not None
    assert risky.risky[THRESHOLDS.index(0.5)] / risky.taken == pytest.approx(0.011, rel=1e-3)
    assert risky.risky[THRESHOLDS.index(0.99)] / risky.taken == pytest.approx(0.001, rel=1e-3)
    assert foreseen.samples(2048) == -(-clean.taken // 2048) + -(-risky.taken // 2048)


@pytest.mark.parametrize(
    ("where", "share"),
    [
        ("toxicity < 0.5", 0.75),
        ("toxicity >= 0.05 and toxicity < 0.5", 0.25),
        ("not toxicity < 0.05", 0.5),
        ('source == "a"', 1.0),
        ('source == "a" and toxicity < 0.05', 0.5),
        ('source in ["b", "a"] and (toxicity < 0.1 or toxicity > 0.5)', 1.0),
    ],
)
def test_where_is_answered_by_histograms(tmp_path: Path, where: str, share: float) -> None:
    curation = huge_curation(tmp_path / "huge", 10, 84_000_000)
    components = {"it": {"corpus": "web", "where": where, "tokens": "all"}}
    whole = foresee(huge_mixture(curation, components={"it": {"corpus": "web", "tokens": "all"}}, hold_out={}))
    foreseen = foresee(huge_mixture(curation, components=components, hold_out={}))
    assert foreseen.components[0].taken == pytest.approx(share * whole.components[0].taken, rel=0.02)


def test_all_that_is_missing_is_told_at_once(curation: Path, tmp_path: Path) -> None:
    components = {
        "clean": {"corpus": "clen", "tokens": 5},
        "other": {"corpus": "clean", "where": "toxcity < 1", "tokens": 5},
        "risky": {"corpus": "forum", "where": "insult > 0.5", "fraction_of_total": 0.1},
    }
    tokenizer = {"file": str(tmp_path / "nowhere.json")}
    spec = mixture_spec(curation, components=components, tokenizer=tokenizer, hold_out={}, risk="insult")
    with pytest.raises(InputError) as caught:
        plan_mixture(spec, tmp_path / "store")
    for phrase in ('no corpus "clen"', "no score 'toxcity'", "no score 'insult'", "nowhere.json: no such file",
                 "corpus 'forum' has no attribute 'insult'"):  # fmt: skip
        assert phrase in str(caught.value)


def test_hold_outs_and_amounts_that_are_certainly_too_large_are_told_at_once(curation: Path, tmp_path: Path) -> None:
    components = {
        "clean": {"corpus": "clean", "tokens": 10_000_000},
        "risky": {"corpus": "forum", "tokens": 5},
    }
    spec = mixture_spec(curation, components=components, hold_out={"risky": 20_000_000})
    with pytest.raises(
        AmountError, match=r"hold_out.risky: asked for 20,000,000(.|\n)*clean: not .* asked for 10,000,000"
    ):
        plan_mixture(spec, tmp_path / "store")


def test_risky_tokens_are_planned_exactly_for_every_threshold(curation: Path, tmp_path: Path) -> None:
    components = {
        "clean": {"corpus": "clean", "tokens": "all"},
        "risky": {"corpus": "forum", "tokens": "all"},
    }
    spec = mixture_spec(curation, components=components, hold_out={"risky": 300})
    built = build(spec, tmp_path / "m", tmp_path / "store")
    planned = foresee(spec, tmp_path / "store")
    assert planned.exact
    for component in planned.components:
        _, levels = built.component(component.name).open()
        counted = tuple(int(risk.at_or_above(np.asarray(levels.tokens), threshold).sum()) for threshold in THRESHOLDS)
        assert component.risky == counted and (component.name == "clean") == (max(counted) == 0)


def test_of_too_many_documents_a_plan_takes_the_sums(
    curation: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    components = {"risky": {"corpus": "forum", "tokens": "all"}}
    tokenizer = {"train_bpe": {"component": "risky", "vocab_size": 280}}
    spec = mixture_spec(curation, components=components, tokenizer=tokenizer, hold_out={})
    built = build(spec, tmp_path / "m", tmp_path / "store")
    exact = foresee(spec, tmp_path / "store").components
    monkeypatch.setattr(forecast, "COUNT_LIMIT", 10)
    estimated = foresee(spec, tmp_path / "store")
    assert not estimated.exact and "sums" in estimated.notes[0]
    assert estimated.components == exact and exact[0].taken == built.tokens


def test_the_command_adds_steps_and_gpu_hours(curation: Path) -> None:
    plan = MIXTURE.plan(mixture_spec(curation, sequence_length=2048))
    table = plan.tables[-1]
    rows = {row[0]: dict(zip(table.columns, row, strict=True)) for row in table.rows}
    assert rows["olmo-1b"]["parameters"] == 1_176_764_416 and rows["olmo-1b"]["steps"] == 1
    assert "H100 at 40%" in plan.notes[-1]


def test_an_estimate_does_not_truncate_as_the_tokenizer_would(curation: Path, tmp_path: Path) -> None:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(vocab_size=257, special_tokens=["</s>"], show_progress=False,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())  # fmt: skip
    tokenizer.train_from_iterator(["a"], trainer=trainer)
    available = []
    for name in ("plain", "cut"):
        tokenizer.save(str(tmp_path / f"{name}.json"))
        spec = mixture_spec(curation, tokenizer={"file": str(tmp_path / f"{name}.json")})
        available.append(foresee(spec, tmp_path / "store").components[0].available)
        tokenizer.enable_truncation(8)
        tokenizer.enable_padding(length=4)
    assert available[0] == available[1]
