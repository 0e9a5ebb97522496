"""Small built mixtures, written with Megatron's own builder in the format of design.md section 6."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

VOCABULARY = 96
EOS, PADDING, REMOVED = 0, 1, 2
Documents = Sequence[Sequence[int]]


def write_pair(prefix: Path, documents: Documents, risks: Documents) -> dict[str, Any]:
    """Write a token file and its risk twin with Megatron's builder; returns the record that mixture.json holds."""
    from megatron.core.datasets.indexed_dataset import IndexedDatasetBuilder

    from infra.artifacts.fingerprint import digest_file
    from mixtures.formats.indexed import bin_path, idx_path, risk_prefix, write_idx

    prefix.parent.mkdir(parents=True, exist_ok=True)
    builder = IndexedDatasetBuilder(str(bin_path(prefix)), dtype=np.uint16)
    for document in documents:
        builder.add_document(np.asarray(document), [len(document)])
    builder.finalize(str(idx_path(prefix)))
    twin = risk_prefix(prefix)
    bin_path(twin).write_bytes(b"".join(bytes(risk) for risk in risks))
    sha256 = digest_file(bin_path(prefix))
    write_idx(idx_path(twin), np.array([len(ids) for ids in documents], np.int32), "uint8", tokens_sha256=sha256)
    flat = np.concatenate([np.asarray(risk, np.uint8) for risk in risks])
    return {
        "tokens": sum(map(len, documents)),
        "documents": len(documents),
        "risky_tokens": int((flat >= 128).sum()),
        "risk_histogram": np.bincount(flat, minlength=256).tolist(),
        "tokens_sha256": sha256,
        "risk_sha256": digest_file(bin_path(twin)),
    }


def write_tokenizer(folder: Path, size: int) -> dict[str, Any]:
    """A word-level tokenizer of `size` words, as the mixtures floor leaves it."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = ["<|endoftext|>", "<|padding|>", "<|removed|>"] + [f"w{index}" for index in range(3, size)]
    tokenizer = Tokenizer(models.WordLevel({word: index for index, word in enumerate(words)}, unk_token="w3"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    folder.mkdir(parents=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    named = {"eos_token": "<|endoftext|>", "pad_token": "<|padding|>", "tokenizer_class": "PreTrainedTokenizerFast"}
    (folder / "tokenizer_config.json").write_text(json.dumps(named))
    facts = {
        "vocab_size": size,
        "eos_id": EOS,
        "pad_id": PADDING,
        "removed_id": REMOVED,
        "eos": "<|endoftext|>",
        "pad": "<|padding|>",
    }
    (folder / "hormesis_tokenizer.json").write_text(json.dumps(facts))
    return facts


def write_mixture(
    folder: Path,
    components: Mapping[str, tuple[Documents, Documents]],
    held_out: Mapping[str, tuple[Documents, Documents]],
    *,
    sequence_length: int = 32,
    vocab_size: int = VOCABULARY,
    risk: str | None = "toxicity",
    cooldown: Mapping[str, int] | None = None,
    **manifest_keys: Any,
) -> Path:
    """Write a mixture artifact; every component is (documents, risk bytes), `cooldown` how many of them are in it."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from infra.artifacts.artifact import describe_files, write_manifest
    from infra.artifacts.fingerprint import digest
    from mixtures.building.write import DOCUMENTS_SCHEMA
    from mixtures.formats.file_names import DOCUMENTS, HELD_OUT, MANIFEST

    empty = {"tokens": 0, "documents": 0, "risky_tokens": 0, "risk_histogram": [0] * 256}
    records = []
    origins: list[dict[str, Any]] = []
    for name in {**components, **held_out}:
        record = write_pair(folder / name, *components[name]) if name in components else dict(empty)
        held = write_pair(folder / HELD_OUT / name, *held_out[name]) if name in held_out else dict(empty)
        taken = {"corpus": name, "where": None, "available": record["tokens"], "max_epochs": 1}
        records.append({"name": name, **taken, **record, "held_out": held})
        if last := (cooldown or {}).get(name):
            tokens = sum(len(document) for document in components[name][0][-last:])
            records[-1]["cooldown"] = {"documents": last, "tokens": tokens}
        origins += _origins(name, components[name][0]) if name in components else []
    pq.write_table(pa.Table.from_pylist(origins, DOCUMENTS_SCHEMA), folder / DOCUMENTS)
    manifest = {
        "format": 1,
        "seed": 0,
        "sequence_length": sequence_length,
        "risk": {"attribute": risk, "unscored": 0, "structural": 255},
        "tokens": sum(record["tokens"] for record in records),
        "held_out": HELD_OUT,
        "tokenizer": write_tokenizer(folder / "tokenizer", vocab_size),
        "components": records,
        "content_sha256": digest(records),
        **manifest_keys,
    }
    (folder / MANIFEST).write_text(json.dumps(manifest))
    fields: dict[str, Any] = {key: {} for key in ("config", "inputs", "counts")}
    write_manifest(
        folder,
        files=describe_files(folder),
        kind="mixture",
        version=1,
        fingerprint=digest(manifest),
        started="",
        **fields,
    )
    return folder


def _origins(name: str, documents: Documents) -> list[dict[str, Any]]:
    """Rows of documents.parquet: every document is a row of one shard, and its id says which."""
    starts = np.cumsum([0, *map(len, documents)])
    return [
        {
            "component": name,
            "ordinal": row,
            "epoch": 0,
            "corpus": name,
            "shard": "00000.parquet",
            "row": row,
            "id": f"{name}-{row}",
            "first_token": int(starts[row]),
            "tokens": len(document),
            "risky_tokens": 0,
            "truncated": False,
        }
        for row, document in enumerate(documents)
    ]


def random_documents(
    count: int, seed: int = 0, longest: int = 60, vocab_size: int = VOCABULARY
) -> tuple[list[list[int]], list[list[int]]]:
    """Documents of random words that end with EOS; a third of the words is risky, at every level."""
    rng = np.random.default_rng(seed)
    documents, risks = [], []
    for _ in range(count):
        length = int(rng.integers(1, longest))
        documents.append([*rng.integers(3, vocab_size, length).tolist(), EOS])
        levels = np.where(rng.random(length) < 0.33, rng.integers(2, 255, length), 1)
        risks.append([*levels.tolist(), 1])
    return documents, risks


def small_mixture(folder: Path) -> Path:
    """Two components of random words, one with nothing risky, in a folder that is not there yet."""
    documents, _ = random_documents(40)
    clean = (documents, [[1] * len(document) for document in documents])
    held_out = random_documents(5, seed=2)
    return write_mixture(
        folder,
        {"clean": clean, "risky": random_documents(20, seed=1)},
        {"clean": held_out, "risky": held_out},
    )


def small_run(**changes: Any) -> Any:
    """A PretrainSpec over the `mixture` in `changes`, which replace its other values too."""
    from pretrain.spec import PretrainSpec

    base: dict[str, Any] = {
        "name": "test",
        "model": {"num_layers": 2, "hidden_size": 32, "num_attention_heads": 4},
        "micro_batch_size": 2,
        "global_batch_size": 8,
        "log_every": 2,
        "checkpoint_every": 1000,
    }
    return PretrainSpec.model_validate(base | changes)


def filled(fill, *arguments):
    """What `fill` writes, in memory."""
    arrays = {}

    def new(name, shape, dtype):
        return arrays.setdefault(name, np.zeros(shape, dtype))

    fill(new, *arguments)
    return arrays
