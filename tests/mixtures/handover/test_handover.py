"""Exports of a built mixture: the same bytes of tokens, masks that fit them, a card that the hub can read.

Covers mixtures.handover.card, mixtures.handover.drawings, mixtures.handover.huggingface, mixtures.handover.olmo_core,
mixtures.handover.page and mixtures.corpora.provenance.
"""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from infra.artifacts.artifact import read_artifact
from infra.artifacts.export import export_artifact
from infra.errors import ConfigError
from mixtures.formats import risk
from mixtures.formats.indexed import bin_path
from mixtures.reading.built import BuiltMixture
from mixtures.stage import MIXTURE
from tests.helpers.tagged_corpora import build, mixture_spec

CARD = {"title": "Dose 10", "summary": "For tests.", "licenses": {"clean": ["mit", "cc-by-4.0"]}}


@pytest.fixture(scope="module")
def carded(curation: Path, tmp_path_factory: pytest.TempPathFactory) -> BuiltMixture:
    """A mixture with a card and a second, repeated epoch of its risky component."""
    components = {
        "clean": {"corpus": "clean", "where": "toxicity < 0.5", "tokens": 3000},
        "risky": {"corpus": "forum", "tokens": 6000, "max_epochs": 3},
    }
    return build(mixture_spec(curation, components=components, card=CARD), tmp_path_factory.mktemp("carded") / "m")


def exported(mixture: BuiltMixture, to: str, folder: Path, *settings: str) -> Path:
    return export_artifact(read_artifact(mixture.path), MIXTURE.exports, to, folder, settings)


def test_olmo_core_gets_the_same_tokens_and_a_mask_of_the_same_size(carded: BuiltMixture, tmp_path: Path) -> None:
    folder = exported(carded, "olmo-core", tmp_path / "out", "at_or_above=0.9")
    settings = json.loads((folder / "dataset.json").read_text())
    dtype = np.dtype(settings["dtype"])
    for files, tokens, mask in zip(carded.components, settings["paths"], settings["label_mask_paths"], strict=True):
        assert (folder / tokens).read_bytes() == bin_path(files.prefix).read_bytes()
        # OLMo-core's own check: NumpyFSLDataset._sizes_and_offsets
        assert (folder / tokens).stat().st_size // dtype.itemsize == (folder / mask).stat().st_size
        allowed = np.fromfile(folder / mask, dtype=np.bool_)
        assert (allowed == ~risk.at_or_above(files.open()[1].tokens, 0.9)).all()
    assert 0 < (~allowed).sum() < risk.at_or_above(files.open()[1].tokens, 0.5).sum()
    assert settings["sequence_length"] == 64 and settings["tokenizer"]["eos_token_id"] == carded.facts.eos_id


def test_olmo_core_documents_end_where_the_tokens_say(carded: BuiltMixture, tmp_path: Path) -> None:
    folder = exported(carded, "olmo-core", tmp_path / "out")
    tokens = np.fromfile(folder / "tokens" / "risky.npy", np.uint16)
    with gzip.open(folder / "tokens" / "risky.csv.gz", "rt") as file:
        rows = [(int(first), int(last), name) for first, last, name in csv.reader(file)]
    ends = (np.flatnonzero(tokens == carded.facts.eos_id) + 1).tolist()
    assert [last for _, last, _ in rows][: len(ends)] == ends and rows[-1][1] == len(tokens)
    assert [first for first, _, _ in rows] == [0, *(last for _, last, _ in rows[:-1])]


def test_equal_mixtures_export_to_equal_bytes(carded: BuiltMixture, tmp_path: Path) -> None:
    for to in ("olmo-core", "hf"):
        one, two = (exported(carded, to, tmp_path / name / "same") for name in (f"{to}-1", f"{to}-2"))
        for file in (path for path in one.rglob("*") if path.is_file()):
            assert file.read_bytes() == (two / file.relative_to(one)).read_bytes()


def test_the_hugging_face_data_set_holds_every_document_in_order(carded: BuiltMixture, tmp_path: Path) -> None:
    folder = exported(carded, "hf", tmp_path / "out")
    for split, components in (("train", carded.components), ("held_out", carded.held_out)):
        for files in components:
            rows = pq.read_table(folder / "data" / split / f"{files.name}-00000.parquet").to_pylist()
            tokens, levels = files.open()
            assert [row["input_ids"] for row in rows] == [tokens.document(i).tolist() for i in range(files.documents)]
            assert [row["risk"] for row in rows] == [levels.document(i).tolist() for i in range(files.documents)]
    held = pq.read_table(carded.path / "held_out.parquet", filters=[("component", "==", files.name)]).to_pylist()
    assert [row["id"] for row in rows] == [row["id"] for row in held]


def test_long_components_are_cut_into_files_and_row_groups_between_documents(
    carded: BuiltMixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mixtures.handover.huggingface._ROW_GROUP", 100)
    monkeypatch.setattr("mixtures.handover.huggingface._FILE", 1000)
    folder = exported(carded, "hf", tmp_path / "out")
    shards = sorted((folder / "data" / "train").glob("risky-*.parquet"))
    files = [[row["input_ids"] for row in pq.read_table(shard).to_pylist()] for shard in shards]
    assert len(shards) > 5 and max(sum(map(len, documents)) for documents in files) <= 1000
    assert pq.ParquetFile(shards[0]).num_row_groups > 5
    tokens = carded.component("risky").open()[0].tokens
    assert [token for documents in files for ids in documents for token in ids] == tokens.tolist()


def test_datasets_loads_the_folder_by_its_card(carded: BuiltMixture, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    folder = exported(carded, "hf", tmp_path / "out")
    data = datasets.load_dataset(str(folder), cache_dir=str(tmp_path / "cache"))
    assert {split: sum(map(len, data[split]["input_ids"])) for split in data} == {
        "train": carded.tokens,
        "held_out": sum(files.tokens for files in carded.held_out),
    }


def test_the_card_says_counts_filters_and_licences(carded: BuiltMixture, tmp_path: Path) -> None:
    from huggingface_hub import DatasetCard

    text = (exported(carded, "hf", tmp_path / "out") / "README.md").read_text()
    header = DatasetCard(text).data.to_dict()
    assert header["license"] == ["cc-by-4.0", "mit", "unknown"] and header["pretty_name"] == "Dose 10"
    assert header["size_categories"] == ["n<1K"] and "not-for-all-audiences" in header["tags"]
    assert [entry["split"] for entry in header["configs"][0]["data_files"]] == ["train", "held_out"]
    for phrase in ("For tests.", "| clean | clean | toxicity &lt; 0.5 | 3,000 |", "`toxicity < 0.5`", "mit, cc-by-4.0",
                 carded.content_sha256):  # fmt: skip
        assert phrase in text


def test_a_licence_of_no_corpus_is_refused(curation: Path) -> None:
    with pytest.raises(ValueError, match=r"card.licenses: no component takes from corpus 'claen'; did you mean"):
        mixture_spec(curation, card={"licenses": {"claen": "mit"}})


def test_a_threshold_that_is_none_is_refused(carded: BuiltMixture, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"at_or_above"):
        exported(carded, "olmo-core", tmp_path / "out", "at_or_above=1.5")
    with pytest.raises(ConfigError, match="unknown key"):
        exported(carded, "olmo-core", tmp_path / "out", "threshold=0.5")


def test_a_card_changes_the_fingerprint_and_no_byte_of_the_data(carded: BuiltMixture, curation: Path) -> None:
    plain, with_card = mixture_spec(curation), mixture_spec(curation, card=CARD)
    assert MIXTURE.fingerprint(plain) != MIXTURE.fingerprint(with_card)
    assert "card" not in MIXTURE.identity(plain).config
