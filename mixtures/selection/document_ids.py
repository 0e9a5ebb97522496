"""The ids of a corpus's documents, mapped from a file: taken at random without reading a shard's table again."""

from __future__ import annotations

import tempfile

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mixtures.corpora.select import Ints
from mixtures.formats import long_arrays
from mixtures.selection.resolve import TokenisedCorpus
from mixtures.tokenizing.token_table import documents_path


class Ids:
    """Ids by position in the corpus, shard after shard; the file goes with the object."""

    def __init__(self, source: TokenisedCorpus) -> None:
        count = len(source.documents)
        ends, filled, size = long_arrays.new(count + 1, np.int64), 0, 0
        self._file = tempfile.NamedTemporaryFile(dir=long_arrays.folder())  # noqa: SIM115 (open as long as this is)
        for number in range(len(source.corpus.shards)):
            table = pq.read_table(documents_path(source.prefix(number)), columns=["id"])
            for ids in table.column("id").chunks:
                ends[filled + 1 : filled + len(ids) + 1] = size + np.cumsum(pc.binary_length(ids).to_numpy())
                filled, size = filled + len(ids), int(ends[filled + len(ids)])
                self._file.write(_bytes_of(ids))
        self._file.flush()
        with pa.memory_map(self._file.name) as mapped:
            self._ids = pa.LargeStringArray.from_buffers(count, pa.py_buffer(ends), mapped.read_buffer())

    def take(self, positions: Ints) -> pa.Array:
        """Ids of the documents at `positions`, in that order."""
        return self._ids.take(pa.array(np.asarray(positions))).cast(pa.string())


def _bytes_of(ids: pa.StringArray) -> memoryview | bytes:
    """The characters of an array of strings, one after another, without those of other rows of its buffers."""
    _, offsets, data = ids.buffers()
    if data is None:
        return b""
    first, last = np.frombuffer(offsets, np.int32)[[ids.offset, ids.offset + len(ids)]].tolist()
    return memoryview(data)[first:last]
