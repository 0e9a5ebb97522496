"""The number formats that an engine may compute in, and how far each moves a score.

| precision | what it is | a score's distance from float32, and from itself in another batch |
|---|---|---|
| float32 | torch | 1e-4 at most |
| bfloat16 | torch; fast where the processor or GPU has matrix units for it | 0.02 at most |
| int8 | torch, 8-bit linear layers, inputs scaled token by token | 0.1 at most |
| onnx | ONNX Runtime in float32 | 1e-4 at most |
| onnx-int8 | ONNX Runtime, 8-bit matrix products, inputs scaled token by token | 0.1 at most |

Those of 8 bits are no bounds that follow from arithmetic: they are what was met on texts (docs/curation.md has the
figures), and what `precision: auto` requires on its sample.
"""

from __future__ import annotations

from curation.scorers.options import Precision

TOLERANCE: dict[Precision, float] = {
    "float32": 1e-4, "bfloat16": 0.02, "int8": 0.1, "onnx": 1e-4, "onnx-int8": 0.1,
}  # fmt: skip
"""How far a score may be from that in float32, and from that of the same text in another batch."""

LAYERS = 3
"""Version of how the formats compute; scores of another version are other scores."""
