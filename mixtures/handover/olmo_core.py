"""A built mixture as OLMo-core's numpy data sets read it: raw token files, and a boolean label mask beside each.

OLMo-core maps `.npy` files without a header (`np.memmap`), refuses a mask whose size is not that of its tokens, and
masks the label at a token's own position before it shifts; a token is therefore masked by its own risk. Its numpy
mixtures take no masks, so the amounts are in the files: one data set over all of them has every token once.
"""

from __future__ import annotations

import csv
import gzip
import io
import shutil
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pyarrow.dataset as ds

from infra.artifacts.artifact import Artifact
from infra.atomic import write_json, write_text
from mixtures.formats import risk
from mixtures.formats.file_names import DOCUMENTS, HELD_OUT
from mixtures.formats.indexed import bin_path
from mixtures.handover.card import CardFormat, card
from mixtures.reading.built import BuiltMixture, TokenFiles
from mixtures.spec.handover import OlmoCoreOptions

_DTYPES = {"uint16": "uint16", "int32": "uint32"}  # ids are never negative, so the bytes are the same
_CHUNK = 1 << 26  # risk bytes looked at at a time

_USE = """\
Every `tokens/NAME.npy` is a raw array of `{dtype}` (no header), its `label_mask/NAME.npy` a boolean for each of its
tokens, false where the risk is at or above {at_or_above:g} or the token is structural. `dataset.json` holds the
arguments of OLMo-core's `NumpyFSLDatasetConfig`; paths are relative to this folder:

```python
settings = json.load(open("dataset.json"))
tokenizer = TokenizerConfig(**settings.pop("tokenizer"))
dataset = NumpyFSLDatasetConfig(tokenizer=tokenizer, **settings, work_dir="work").build()
```

Amounts are in the files: read every file once, without a source mixture. `tokens/NAME.csv.gz` has start, end and id of
each document. OLMo-core drops the last, incomplete sequence of every file. `held_out/` must not be trained on.
"""


def to_olmo_core(artifact: Artifact, folder: Path, options: OlmoCoreOptions) -> None:
    """Write tokens, label masks, document indices, `dataset.json`, the tokenizer and the card into `folder`."""
    mixture = BuiltMixture.open(artifact.path)
    for files in mixture.components:
        _write(files, folder, options.at_or_above)
        _write_documents(mixture, files.name, folder / "tokens" / f"{files.name}.csv.gz")
    for files in mixture.held_out:
        _write(files, folder / HELD_OUT, options.at_or_above)
    settings = _settings(mixture)
    write_json(folder / "dataset.json", settings)
    shutil.copytree(mixture.tokenizer, folder / "tokenizer")
    layout = CardFormat("OLMo-core", _USE.format(dtype=settings["dtype"], at_or_above=options.at_or_above))
    write_text(folder / "README.md", card(mixture, layout))


def _write(files: TokenFiles, folder: Path, at_or_above: float) -> None:
    """One component: its token file as it is, and the mask of its risk twin."""
    for name in ("tokens", "label_mask"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    shutil.copyfile(bin_path(files.prefix), folder / "tokens" / f"{files.name}.npy")
    _, levels = files.open()
    with open(folder / "label_mask" / f"{files.name}.npy", "wb") as file:
        for first in range(0, len(levels.tokens), _CHUNK):
            chunk = levels.tokens[first : first + _CHUNK]
            file.write((~risk.at_or_above(chunk, at_or_above) & (chunk != risk.STRUCTURAL)).tobytes())


def _write_documents(mixture: BuiltMixture, component: str, path: Path) -> None:
    """`start,end,id` a line, gzipped without a time, as Dolma's tokenizer leaves them."""
    batches = ds.dataset(mixture.path / DOCUMENTS).to_batches(
        columns=["first_token", "tokens", "id"], filter=ds.field("component") == component
    )
    with (
        open(path, "wb") as raw,
        gzip.GzipFile(fileobj=raw, mode="wb", filename="", mtime=0) as packed,
        io.TextIOWrapper(packed, encoding="utf-8", newline="") as lines,
    ):
        rows = csv.writer(lines, lineterminator="\n")
        for batch in batches:
            first, size, names = (batch.column(name) for name in ("first_token", "tokens", "id"))
            rows.writerows(zip(first.to_pylist(), pc.add(first, size).to_pylist(), names.to_pylist(), strict=True))


def _settings(mixture: BuiltMixture) -> dict[str, object]:
    facts = mixture.facts
    names = [files.name for files in mixture.components]
    return {
        "paths": [f"tokens/{name}.npy" for name in names],
        "label_mask_paths": [f"label_mask/{name}.npy" for name in names],
        "sequence_length": mixture.sequence_length,
        "dtype": _DTYPES[str(np.dtype(mixture.components[0].open()[0].tokens.dtype))],
        "tokenizer": {"vocab_size": facts.vocab_size, "eos_token_id": facts.eos_id, "pad_token_id": facts.pad_id},
    }
