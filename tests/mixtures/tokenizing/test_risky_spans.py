"""The low-risk arm and the removal arm: what they change of a component, and what they leave."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from tokenizers import Tokenizer

from infra.errors import InputError
from mixtures.formats import risk
from mixtures.reading.built import BuiltMixture
from mixtures.tokenizing.cut_spans import cut_spans
from tests.helpers.tagged_corpora import Doc, build, clean_documents, mixture_spec, risky_documents, write_curation


@pytest.fixture(scope="module")
def curated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forum posts with a tagged insult each, and one that is nothing else."""
    insult = Doc("all-risky", "you idiot", spans=[(0, 9, "toxicity", 0.9)])
    corpora = {"clean": clean_documents(60), "forum": [*risky_documents(50), insult]}
    return write_curation(tmp_path_factory.mktemp("arms") / "demo", corpora, shard_size=25)


@pytest.fixture(scope="module")
def arms(curated: Path) -> dict[str, BuiltMixture]:
    """The same mixture with all risky spans kept, cut, and replaced."""
    mixtures = {}
    for name, spans in (("keep", None), ("cut", {"do": "cut"}), ("replace", {"do": "replace", "at_or_above": 0.8})):
        risky = {"corpus": "forum", "tokens": "all", "where": "risky_share > 0", "risky_spans": spans}
        components = {"clean": {"corpus": "clean", "tokens": 500}, "risky": risky}
        spec = mixture_spec(curated, components=components, hold_out={"risky": 200})
        mixtures[name] = build(spec, curated.parent / name, curated.parent / "store")
    return mixtures


def written(mixture: BuiltMixture) -> dict[str, tuple[list[int], list[int]]]:
    """Tokens and risk bytes of the risky component by document, in their order."""
    tokens, levels = mixture.component("risky").open()
    rows: list[dict[str, Any]] = pq.read_table(mixture.path / "documents.parquet").to_pylist()
    risky = [row for row in rows if row["component"] == "risky"]
    return {
        row["id"]: (tokens.document(row["ordinal"]).tolist(), levels.document(row["ordinal"]).tolist()) for row in risky
    }


def test_every_arm_holds_out_the_same_and_takes_the_same_documents(arms: dict[str, BuiltMixture]) -> None:
    for files in ("clean", "risky"):
        held = [
            [component.tokens_sha256 for component in arm.held_out if component.name == files] for arm in arms.values()
        ]
        assert held[0] == held[1] == held[2]
    remaining = [document for document in written(arms["keep"]) if document != "all-risky"]
    assert list(written(arms["cut"])) == remaining
    assert list(written(arms["replace"])) == list(written(arms["keep"]))
    assert len({arm.component("clean").tokens_sha256 for arm in arms.values()}) == 1


def test_the_low_risk_arm_is_the_text_without_the_spans(arms: dict[str, BuiltMixture], curated: Path) -> None:
    tokenizer = Tokenizer.from_file(str(arms["cut"].tokenizer / "tokenizer.json"))
    texts = {}
    for shard in sorted((curated / "corpora" / "forum").glob("*.parquet")):
        for batch in pq.ParquetFile(shard).iter_batches():
            texts |= {row["id"]: row["text"] for row in cut_spans(batch, "toxicity", 0.5).to_pylist()}
    for document, (tokens, levels) in written(arms["cut"]).items():
        assert tokens == [*tokenizer.encode(texts[document]).ids, arms["cut"].facts.eos_id]
        assert not risk.at_or_above(np.asarray(levels, np.uint8), 0.5).any()
        assert "idiot" not in texts[document] and "fool" not in texts[document]


def test_the_removal_arm_replaces_risky_tokens_and_makes_them_no_target(arms: dict[str, BuiltMixture]) -> None:
    facts, replaced = arms["replace"].facts, 0
    for document, (tokens, levels) in written(arms["replace"]).items():
        before, risks = (np.asarray(values) for values in written(arms["keep"])[document])
        gone = risks >= risk.threshold_byte(0.8)
        assert tokens == np.where(gone, facts.removed_id, before).tolist()
        assert levels == np.where(gone, risk.STRUCTURAL, risks).tolist()
        replaced += int(gone.sum())
    assert 0 < replaced == arms["replace"].manifest.components[1].risk_histogram[risk.STRUCTURAL]


def test_a_tokenizer_without_a_token_to_put_in_their_place_is_refused(curated: Path, tmp_path: Path) -> None:
    from tokenizers import models

    words = Tokenizer(models.WordLevel({"<|endoftext|>": 0, "a": 1}, unk_token="a"))
    words.save(str(tmp_path / "tokenizer.json"))
    risky = {"corpus": "forum", "tokens": 10, "risky_spans": {"do": "replace"}}
    tokenizer = {"file": str(tmp_path / "tokenizer.json")}
    spec = mixture_spec(curated, components={"risky": risky}, tokenizer=tokenizer, hold_out={})
    with pytest.raises(InputError, match=r"neither <\|removed\|> nor a padding of its own"):
        build(spec, tmp_path / "m")
