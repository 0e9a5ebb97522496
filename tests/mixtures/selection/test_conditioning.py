"""Prefixes before documents: which documents get which, what stays as it was, and what is refused.

Covers mixtures.selection.prefixes and mixtures.spec.conditioning.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError
from tokenizers import Tokenizer

from infra.errors import InputError
from mixtures.formats import risk
from mixtures.planning.plan import plan_mixture
from mixtures.reading.built import BuiltMixture
from mixtures.reading.origins import origin
from mixtures.spec.conditioning import read_template
from mixtures.spec.mixture import MixtureSpec
from tests.helpers.tagged_corpora import build, mixture_data, mixture_spec

MEDA = {"prefixes": "toxicity: {toxicity:.1f}\n"}
INST = {
    "prefixes": [
        {"where": "toxicity >= 0.5", "text": "The following text is rude.\n"},
        {"text": "The following text is kind.\n"},
    ],
    "share": 0.8,
    "cooldown": 0.25,
}


@pytest.fixture(scope="module")
def arms(curation: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, BuiltMixture]:
    """One mixture without prefixes, one with MEDA's, one with INST's, and one with INST's for half of the documents."""
    folder = tmp_path_factory.mktemp("conditioned")
    ways = {"plain": None, "meda": MEDA, "inst": INST, "half": INST | {"share": 0.4, "cooldown": 0}}
    return {
        name: build(mixture_spec(curation, conditioning=way), folder / name, folder / "store")
        for name, way in ways.items()
    }


def documents(mixture: BuiltMixture, component: str) -> list[dict[str, Any]]:
    """Rows of documents.parquet, each with its prefix and its own tokens, and the prefix's risk bytes."""
    tokens, levels = mixture.component(component).open()
    tokenizer = Tokenizer.from_file(str(mixture.tokenizer / "tokenizer.json"))
    rows = [r for r in pq.read_table(mixture.path / "documents.parquet").to_pylist() if r["component"] == component]
    for row in rows:
        ids = tokens.document(row["ordinal"]).tolist()
        size = row.get("prefix_tokens", 0)
        assert len(ids) == row["tokens"] and int(tokens.starts[row["ordinal"]]) == row["first_token"]
        row |= {"prefix": tokenizer.decode(ids[:size]), "ids": ids[size:]}
        row |= {"risks": levels.document(row["ordinal"])[size:].tolist()}
        assert set(levels.document(row["ordinal"])[:size].tolist()) <= {risk.STRUCTURAL}
    return rows


def test_prefixes_come_on_top_and_change_nothing_else(arms: dict[str, BuiltMixture]) -> None:
    for component in ("clean", "risky"):
        plain = [(row["id"], row["ids"], row["risks"]) for row in documents(arms["plain"], component)]
        for name in ("meda", "inst", "half"):
            rows = documents(arms[name], component)
            assert [(row["id"], row["ids"], row["risks"]) for row in rows] == plain
            files = arms[name].component(component)
            assert files.prefix_tokens == sum(row["prefix_tokens"] for row in rows) > 0
            assert files.tokens - files.prefix_tokens == arms["plain"].component(component).tokens
    held = {name: [files.tokens_sha256 for files in arm.held_out] for name, arm in arms.items()}
    assert len({tuple(hashes) for hashes in held.values()}) == 1


def test_meda_states_the_score(arms: dict[str, BuiltMixture], curation: Path) -> None:
    scores = {}
    for shard in sorted((curation / "corpora" / "clean").glob("*.parquet")):
        scores |= {row["id"]: dict(row["scores"])["toxicity"] for row in pq.read_table(shard).to_pylist()}
    rows = documents(arms["meda"], "clean")
    assert {row["prefix"] for row in rows} == {"toxicity: 0.0\n", "toxicity: 0.1\n"}
    assert all(row["prefix"] == f"toxicity: {scores[row['id']]:.1f}\n" for row in rows)


def test_inst_tells_by_the_score_and_leaves_a_share_and_the_cooldown_without(arms: dict[str, BuiltMixture]) -> None:
    for component, text in (("clean", "The following text is kind.\n"), ("risky", "The following text is rude.\n")):
        rows, files = documents(arms["inst"], component), arms["inst"].component(component)
        assert {row["prefix"] for row in rows} == {"", text}
        cooldown = rows[len(rows) - files.cooldown_documents :]
        assert cooldown and not any(row["prefix"] for row in cooldown)
        tokens = sum(row["tokens"] for row in cooldown)
        assert tokens == files.cooldown_tokens
        whole = sum(len(row["ids"]) for row in rows)
        assert tokens >= 0.25 * whole > tokens - cooldown[0]["tokens"]


def test_a_smaller_share_is_a_subset_of_a_larger(arms: dict[str, BuiltMixture]) -> None:
    with_one = {
        name: {row["id"] for row in documents(arms[name], "clean") if row["prefix"]}
        for name in ("inst", "half", "meda")
    }
    main = documents(arms["inst"], "clean")[: -arms["inst"].component("clean").cooldown_documents]
    assert {row["id"] for row in main} & with_one["half"] < with_one["inst"] < with_one["meda"]
    assert 0.6 < len(with_one["inst"]) / len(main) < 0.95


def test_a_document_is_found_from_the_tokens_of_its_prefix(arms: dict[str, BuiltMixture]) -> None:
    row = documents(arms["meda"], "clean")[5]
    source = origin(arms["meda"], "clean", row["first_token"] + 1)
    assert (source.id, source.token, source.prefix_tokens) == (row["id"], 1, row["prefix_tokens"])


def test_the_plan_counts_the_prefixes(arms: dict[str, BuiltMixture], curation: Path) -> None:
    store = arms["meda"].path.parent / "store"
    plan = plan_mixture(mixture_spec(curation, conditioning=MEDA), store)
    prefixes = sum(files.prefix_tokens for files in arms["meda"].components)
    assert {row[0]: row[3] for row in plan.tables[0].rows} == {"clean": 3000, "risky": 333}
    assert any(note.startswith(f"{prefixes:,} tokens of prefixes") for note in plan.notes)


def test_only_the_named_components_are_conditioned(
    curation: Path, arms: dict[str, BuiltMixture], tmp_path: Path
) -> None:
    way = MEDA | {"components": ["risky"]}
    arm = build(mixture_spec(curation, conditioning=way), tmp_path / "m", arms["plain"].path.parent / "store")
    assert arm.component("clean").tokens_sha256 == arms["plain"].component("clean").tokens_sha256
    assert all(row["prefix"] for row in documents(arm, "risky"))


@pytest.mark.parametrize(
    ("conditioning", "reason"),
    [
        ({"prefixes": "score {toxicity}"}, "say how toxicity is rounded"),
        ({"prefixes": "score {toxicity:>1000000}"}, "not a rounding"),
        ({"prefixes": "score {toxicity!r:.1f}"}, "not a rounding"),
        ({"prefixes": "score {toxicity.__class__:.1f}"}, "not a name"),
        ({"prefixes": "score {0:.1f}"}, "not a name"),
        ({"prefixes": "score {toxicity:.1f"}, "cannot be read"),
        ({"prefixes": "share {risky_share:.1f}"}, "in `where` only"),
        ({"prefixes": ""}, "at least 1 character"),
        ({"prefixes": []}, "at least 1 item"),
        (MEDA | {"share": 0}, "greater than 0"),
        (MEDA | {"cooldown": 1}, "less than 1"),
        (MEDA | {"components": ["riskyy"]}, "no component 'riskyy'.*did you mean"),
        ({"prefixes": [{"text": "x", "where": "toxicity <"}]}, "cannot be read"),
    ],
)
def test_what_conditioning_may_not_say(conditioning: dict[str, object], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        MixtureSpec.model_validate(mixture_data(Path("runs/demo"), conditioning=conditioning))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{toxcity:.1f} ", r"conditioning: .* no score 'toxcity'.*did you mean"),
        ("<|endoftext|>", "would end its document"),
    ],
)
def test_prefixes_that_cannot_be_are_refused(
    curation: Path, arms: dict[str, BuiltMixture], tmp_path: Path, text: str, reason: str
) -> None:
    spec = mixture_spec(curation, conditioning={"prefixes": text})
    with pytest.raises(InputError, match=reason):
        build(spec, tmp_path / "m", arms["plain"].path.parent / "store")


def test_a_template_shows_scores_words_and_braces() -> None:
    template = read_template("{{{source}}} {toxicity:.0%} {language}: ")
    columns = {"source": ["forum"], "toxicity": np.asarray([0.25]), "metadata.language": ["en"]}
    assert template.names == {"source", "toxicity", "metadata.language"}
    assert template.render(columns, 0) == "{forum} 25% en: "
