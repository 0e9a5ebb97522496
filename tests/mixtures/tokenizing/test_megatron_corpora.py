"""Components from files that somebody else tokenised, and from Dolma's documents and attributes.

Covers mixtures.tokenizing.megatron and mixtures.spec.megatron.
"""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from tokenizers import Tokenizer

from curation.spec import CurationSpec
from curation.stage import CURATION
from infra.config.spec import load_spec
from infra.errors import InputError, JobError
from infra.stages.stage import run_stage
from mixtures.formats import risk
from mixtures.formats.indexed import BinWriter, bin_path, idx_path, risk_prefix, write_idx
from mixtures.planning.plan import plan_mixture
from mixtures.reading.built import BuiltMixture
from mixtures.spec.mixture import MixtureSpec
from mixtures.tokenizing import megatron
from tests.helpers.tagged_corpora import build, mixture_data, risky_documents

TEXTS = [document.text for document in risky_documents(60, seed=7)]


@pytest.fixture(scope="module")
def tokenizer(mixture: BuiltMixture) -> Path:
    """A tokenizer.json that is not part of a mixture."""
    return mixture.tokenizer / "tokenizer.json"


def ids_of(tokenizer: Path, eos: int) -> list[list[int]]:
    """The texts as tokens, each with its EOS."""
    loaded = Tokenizer.from_file(str(tokenizer))
    return [[*encoding.ids, eos] for encoding in loaded.encode_batch(TEXTS, add_special_tokens=False)]


def write_files(prefix: Path, documents: list[list[int]], twin: list[list[int]] | None = None) -> Path:
    """Megatron files of uint16 tokens, with a risk twin where one is given."""
    prefix.parent.mkdir(parents=True, exist_ok=True)
    lengths = np.asarray([len(ids) for ids in documents], np.int32)
    tokens = BinWriter(bin_path(prefix), "uint16")
    tokens.append(np.concatenate([np.asarray(ids) for ids in documents]))
    sha256 = tokens.finish()
    write_idx(idx_path(prefix), lengths, "uint16")
    if twin is not None:
        levels = BinWriter(bin_path(risk_prefix(prefix)), "uint8")
        levels.append(np.concatenate([np.asarray(risks) for risks in twin]))
        levels.finish()
        write_idx(idx_path(risk_prefix(prefix)), lengths, "uint8", tokens_sha256=sha256)
    return prefix


def spec_over(prefix: Path, tokenizer_json: Path, **changes: Any) -> MixtureSpec:
    """All of the files' tokens, and nothing else."""
    return MixtureSpec.model_validate({
        "name": "m", "megatron": {"books": {"prefix": str(prefix)}}, "tokenizer": {"file": str(tokenizer_json)},
        "sequence_length": 64, "components": {"theirs": {"corpus": "books", "tokens": "all"}},
    } | changes)  # fmt: skip


def documents_in(mixture: BuiltMixture, component: str) -> list[list[int]]:
    """Token ids of every document of a component."""
    tokens, _ = mixture.component(component).open()
    return [tokens.document(index).tolist() for index in range(len(tokens.lengths))]


def test_files_made_by_megatron_become_a_component_beside_a_tagged_one(
    curation: Path, mixture: BuiltMixture, tokenizer: Path, tmp_path: Path
) -> None:
    stock = pytest.importorskip("megatron.core.datasets.indexed_dataset")
    theirs = ids_of(tokenizer, mixture.facts.eos_id)
    builder = stock.IndexedDatasetBuilder(str(tmp_path / "books.bin"), dtype=np.int32)
    for ids in theirs:  # two sequences a document, as preprocess_data --split-sentences writes them
        builder.add_document(np.asarray(ids), [3, len(ids) - 3])
    builder.finalize(str(tmp_path / "books.idx"))
    data = mixture_data(curation, tokenizer={"file": str(tokenizer)}, hold_out={"theirs": 200})
    components = {"clean": {"corpus": "clean", "tokens": 2000}, "theirs": {"corpus": "books", "tokens": "all"}}
    files = {"books": {"prefix": str(tmp_path / "books"), "unscored": True}}
    built = build(MixtureSpec.model_validate(data | {"components": components, "megatron": files}), tmp_path / "m")
    held, _ = built.held_out_of("theirs").open()
    written = [*documents_in(built, "theirs"), *(held.document(index).tolist() for index in range(len(held.lengths)))]
    assert sorted(written) == sorted(theirs)
    assert set(built.component("theirs").open()[1].tokens.tolist()) == {risk.UNSCORED}
    texts = [row for row in pq.read_table(built.path / "held_out.parquet").to_pylist() if row["component"] == "theirs"]
    assert texts and all(row["text"] in TEXTS and row["source"] == "books" for row in texts)


def test_files_made_by_datatrove_need_no_curation(mixture: BuiltMixture, tokenizer: Path, tmp_path: Path) -> None:
    from datatrove.data import Document
    from datatrove.pipeline.tokens import MegatronDocumentTokenizer

    writer = MegatronDocumentTokenizer(str(tmp_path), "books", str(tokenizer), mixture.facts.eos)
    writer.run([Document(text, str(number)) for number, text in enumerate(TEXTS)])
    spec = spec_over(tmp_path / "books_00000_tokens", tokenizer)
    planned = plan_mixture(spec, tmp_path / "store").tables[0].rows[0]
    built = build(spec, tmp_path / "m", tmp_path / "store")
    assert sorted(documents_in(built, "theirs")) == sorted(ids_of(tokenizer, mixture.facts.eos_id))
    assert planned[2] == built.tokens


def test_a_long_file_is_imported_in_shards_that_change_no_byte(
    mixture: BuiltMixture, tokenizer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prefix = write_files(tmp_path / "books", ids_of(tokenizer, mixture.facts.eos_id))
    whole = build(spec_over(prefix, tokenizer), tmp_path / "whole" / "m")
    monkeypatch.setattr(megatron, "_SHARD", 300)
    monkeypatch.setattr(megatron, "_CHUNK", 40)
    cut = build(spec_over(prefix, tokenizer), tmp_path / "cut" / "m")
    shards = set(pq.read_table(cut.path / "documents.parquet").column("shard").to_pylist())
    assert len(shards) > 5
    assert sorted(documents_in(cut, "theirs")) == sorted(documents_in(whole, "theirs"))


def test_a_risk_twin_comes_along(mixture: BuiltMixture, tokenizer: Path, tmp_path: Path) -> None:
    theirs = ids_of(tokenizer, mixture.facts.eos_id)
    twin = [[1 + index % 254 for index in range(len(ids))] for ids in theirs]
    built = build(spec_over(write_files(tmp_path / "books", theirs, twin), tokenizer, risk="toxicity"), tmp_path / "m")
    _, levels = built.component("theirs").open()
    risk_bytes = [levels.document(index).tolist() for index in range(len(levels.lengths))]
    assert sorted(risk_bytes) == sorted(twin)


def refused(spec: MixtureSpec, target: Path, kind: type[Exception], match: str) -> None:
    with pytest.raises(kind, match=match):
        build(spec, target)
    assert not target.exists()


def test_documents_without_eos_are_refused(mixture: BuiltMixture, tokenizer: Path, tmp_path: Path) -> None:
    theirs = ids_of(tokenizer, mixture.facts.eos_id)
    prefix = write_files(tmp_path / "books", [*theirs[:5], theirs[5][:-1]])
    refused(
        spec_over(prefix, tokenizer), tmp_path / "m", JobError, r"books.bin:5: .* does not end with the tokenizer's EOS"
    )


def test_tokens_of_a_larger_vocabulary_are_refused(mixture: BuiltMixture, tokenizer: Path, tmp_path: Path) -> None:
    prefix = write_files(tmp_path / "books", [[5, mixture.facts.eos_id], [60_000, mixture.facts.eos_id]])
    refused(spec_over(prefix, tokenizer), tmp_path / "m", JobError, r"books.bin:1: token 60000 is not among")


def test_two_tokenizers_are_refused(mixture: BuiltMixture, tokenizer: Path, tmp_path: Path) -> None:
    other = json.loads(tokenizer.read_text())
    other["added_tokens"].append({**other["added_tokens"][-1], "id": 300, "content": "<|more|>"})
    (tmp_path / "other.json").write_text(json.dumps(other))
    spec = spec_over(mixture.component("clean").prefix, tmp_path / "other.json")
    refused(spec, tmp_path / "m", InputError, "two tokenizers")


def test_a_twin_of_other_tokens_is_refused(mixture: BuiltMixture, tokenizer: Path, tmp_path: Path) -> None:
    theirs = ids_of(tokenizer, mixture.facts.eos_id)
    prefix = write_files(tmp_path / "books", theirs, [[9] * len(ids) for ids in theirs])
    data = bytearray(bin_path(prefix).read_bytes())
    data[0] ^= 1
    bin_path(prefix).write_bytes(data)
    refused(spec_over(prefix, tokenizer, risk="toxicity"), tmp_path / "m", JobError, "made for other tokens")


def test_unscored_tokens_are_refused_unless_they_are_allowed(
    mixture: BuiltMixture, tokenizer: Path, tmp_path: Path
) -> None:
    spec = spec_over(write_files(tmp_path / "books", [[5, mixture.facts.eos_id]]), tokenizer, risk="toxicity")
    refused(spec, tmp_path / "m", InputError, r"has no risk twin .*unscored: true")
    with pytest.raises(InputError, match="no risk twin"):
        plan_mixture(spec, tmp_path / "store")


def test_a_missing_file_is_named(tokenizer: Path, tmp_path: Path) -> None:
    refused(spec_over(tmp_path / "nothing", tokenizer), tmp_path / "m", InputError, r"nothing.bin: no such file")


def test_a_name_that_the_curation_has_too_is_refused(
    curation: Path, mixture: BuiltMixture, tokenizer: Path, tmp_path: Path
) -> None:
    prefix = write_files(tmp_path / "books", [[5, mixture.facts.eos_id]])
    spec = spec_over(prefix, tokenizer, curation=str(curation), megatron={"clean": {"prefix": str(prefix)}},
                     components={"theirs": {"corpus": "clean", "tokens": "all"}})  # fmt: skip
    refused(spec, tmp_path / "m", InputError, "has a corpus of that name too")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"megatron": {}}, "no curation is named"),
        ({"tokenizer": {"train_bpe": {"component": "theirs"}}}, "tokenizer of their own"),
    ],
)
def test_what_cannot_be_is_told_before_anything_is_read(tmp_path: Path, changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        spec_over(tmp_path / "books", tmp_path / "tokenizer.json", **changes)


def test_dolma_attributes_become_risk_bytes(tokenizer: Path, tmp_path: Path) -> None:
    documents = [{"id": str(number), "text": text, "source": "forum"} for number, text in enumerate(TEXTS)]
    starts = [text.index("you idiot") if "you idiot" in text else None for text in TEXTS]
    marks = [{"id": str(number), "attributes": {"s": [] if start is None else [[start, start + 9, 0.9]],
                                                "d": [[0, len(text), 0.1 if start is None else 0.9]]}}
             for number, (text, start) in enumerate(zip(TEXTS, starts, strict=True))]  # fmt: skip
    for name, records in (("documents", documents), ("attributes/ours", marks)):
        (tmp_path / "dolma" / name).mkdir(parents=True)
        data = "".join(json.dumps(record) + "\n" for record in records).encode()
        (tmp_path / "dolma" / name / "0.jsonl.gz").write_bytes(gzip.compress(data))
    (tmp_path / "job.yaml").write_text(
        "kind: curation\ncorpora:\n  it:\n    sources:\n      - path: dolma/documents/*.gz\n        id: id\n"
        "        attributes:\n          - {folder: ours, key: d, score: toxicity}\n"
        "          - {folder: ours, key: s, spans: toxicity}\nsteps: []\n"
    )
    _, spec = load_spec(tmp_path / "job.yaml", {"curation": lambda: CurationSpec})
    curated = run_stage(CURATION, spec, tmp_path / "curated", quiet=True).path
    data = {"curation": str(curated), "risk": "toxicity", "megatron": {},
            "components": {"theirs": {"corpus": "it", "where": "toxicity > 0.5", "tokens": "all"}}}  # fmt: skip
    built = build(spec_over(tmp_path, tokenizer, **data), tmp_path / "m")
    tokens, levels = built.component("theirs").open()
    decode = Tokenizer.from_file(str(tokenizer)).decode
    marked = [decode(tokens.document(i)[levels.document(i) > risk.LOWEST].tolist()).strip()
              for i in range(len(tokens.lengths))]  # fmt: skip
    assert marked == ["you idiot"] * sum(start is not None for start in starts)


def test_a_mixture_of_hormesis_whose_last_document_was_cut_is_taken(
    curation: Path, mixture: BuiltMixture, tokenizer: Path, tmp_path: Path
) -> None:
    theirs = documents_in(mixture, "clean")
    eos = mixture.facts.eos_id
    assert theirs[-1][-1] != eos  # it was cut to take 3,000 tokens exactly
    data = mixture_data(curation, tokenizer={"file": str(tokenizer)}, hold_out={})
    components = {"clean": {"corpus": "own", "tokens": "all"}}
    files = {"own": {"prefix": str(mixture.component("clean").prefix)}}
    built = build(MixtureSpec.model_validate(data | {"components": components, "megatron": files}), tmp_path / "m")
    assert sorted(documents_in(built, "clean")) == sorted([*theirs[:-1], [*theirs[-1][:-1], eos]])
