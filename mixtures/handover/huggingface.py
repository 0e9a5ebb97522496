"""A built mixture as a Hugging Face data set: Parquet with token ids and risk bytes, and a card that says how to load
it.

The text itself stays out: the ids are exact where a decoded cut document is not, and the hub's viewer, which shows what
it finds, would show risky text to whoever passes by. `AutoTokenizer.from_pretrained(folder + "/tokenizer")` decodes it.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from infra.artifacts.artifact import Artifact
from infra.atomic import write_text
from mixtures.formats.file_names import DOCUMENTS, HELD_OUT, HELD_OUT_TEXTS
from mixtures.formats.indexed import Indexed
from mixtures.handover.card import CardFormat, card
from mixtures.reading.built import BuiltMixture, TokenFiles

_ROW_GROUP = 1 << 22  # tokens; what is held in memory at a time
_FILE = 1 << 28  # tokens, about a gigabyte
_TRAIN_COLUMNS = ["id", "corpus", "shard", "row", "epoch", "truncated"]

_USE = """\
```python
from datasets import load_dataset
data = load_dataset("THIS_FOLDER", split="train", streaming=True)   # or split="held_out"
```

A row is a document: `input_ids` are the tokens as they stand in the training files (the last one is the end-of-text
token unless the document is `truncated`), `risk` has a byte for each of them: 0 unscored, 1 to 254 the score on a logit
scale (`sigmoid((risk - 1) * 24 / 253 - 12)`), 255 structural and never a target. Rows stand in the order of the
training files; a document that is repeated has a row for every epoch. `held_out` documents must not be trained on.
"""


def to_huggingface(artifact: Artifact, folder: Path) -> None:
    """Write `data/SPLIT/COMPONENT-NNNNN.parquet`, the tokenizer and the card into `folder`."""
    mixture = BuiltMixture.open(artifact.path)
    splits = {"train": (mixture.components, DOCUMENTS, _TRAIN_COLUMNS),
              HELD_OUT: (mixture.held_out, HELD_OUT_TEXTS, ["id"])}  # fmt: skip
    for split, (components, documents, columns) in splits.items():
        for files in components:
            facts = pq.read_table(mixture.path / documents, columns=columns, filters=[("component", "==", files.name)])
            _write(files, facts, folder / "data" / split)
    shutil.copytree(mixture.tokenizer, folder / "tokenizer")
    filled = [split for split, (components, _, _) in splits.items() if components]
    data_files = [{"split": split, "path": f"data/{split}/*.parquet"} for split in filled]
    header = {"configs": [{"config_name": "default", "data_files": data_files}]}
    write_text(folder / "README.md", card(mixture, CardFormat("🤗 datasets", _USE, header)))


def _write(files: TokenFiles, facts: pa.Table, folder: Path) -> None:
    """All documents of one component, in files of bounded size."""
    folder.mkdir(parents=True, exist_ok=True)
    pair = files.open()
    schema = _schema(pair[0], facts)
    for number, (first, last) in enumerate(_runs(pair[0].starts, 0, files.documents, _FILE)):
        with pq.ParquetWriter(folder / f"{files.name}-{number:05d}.parquet", schema) as writer:
            for begin, end in _runs(pair[0].starts, first, last, _ROW_GROUP):
                names = pa.array([files.name] * (end - begin))
                columns = [names, *facts.slice(begin, end - begin).columns, *_lists(pair, begin, end)]
                writer.write_table(pa.table(columns, schema=schema))


def _runs(starts: np.ndarray[Any, Any], first: int, last: int, tokens: int) -> Iterator[tuple[int, int]]:
    """Ranges of documents of about so many tokens; a longer document is a range of its own."""
    while first < last:
        end = min(last, max(first + 1, int(np.searchsorted(starts, starts[first] + tokens, side="right")) - 1))
        yield first, end
        first = end


def _lists(pair: tuple[Indexed, Indexed], first: int, last: int) -> list[pa.ListArray]:
    """Tokens and risk bytes of the documents first <= i < last."""
    starts = pair[0].starts[first : last + 1]
    offsets = pa.array((starts - starts[0]).astype(np.int32))
    return [pa.ListArray.from_arrays(offsets, pa.array(files.tokens[starts[0] : starts[-1]])) for files in pair]


def _schema(tokens: Indexed, facts: pa.Table) -> pa.Schema:
    ids = pa.from_numpy_dtype(tokens.tokens.dtype)
    lists = [pa.field("input_ids", pa.list_(ids)), pa.field("risk", pa.list_(pa.uint8()))]
    return pa.schema([pa.field("component", pa.string()), *facts.schema.remove_metadata(), *lists])
