"""Cross-entropy of documents under a steered model, in nats, by the definition that pretraining uses.

A document follows the start token (end-of-text, as in packed training), so that *every* token of it is a target, and
the end-of-text token that ends it is the last one: a method that ends early, or late, pays for it. A document of which
only the first tokens count has no end. A prefix conditions and is not counted. A document longer than the context is
read in windows that overlap by half, each behind start token and prefix again: whatever the method, the same tokens are
counted once each.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch

from infra.errors import InputError
from posttrain.activations import batches, right_padded
from posttrain.causal_model import CausalModel
from posttrain.methods.base import EditedPositions
from posttrain.stack import Stack
from posttrain.token_nats import token_nats

_TOKENS_PER_BATCH = 4096


@dataclass(frozen=True)
class DocumentCrossEntropy:
    """One entry a document: `nats` float64, `tokens` int64 (targets, the end-of-text token among them) and `utf8_bytes`
    int64 of the text that they spell; mean per token is nats.sum() / tokens.sum().
    """

    nats: np.ndarray[Any, np.dtype[np.float64]]
    tokens: np.ndarray[Any, np.dtype[np.int64]]
    utf8_bytes: np.ndarray[Any, np.dtype[np.int64]]

    @property
    def per_token(self) -> float:
        """Mean over all tokens."""
        return float(self.nats.sum() / max(1, self.tokens.sum()))

    @property
    def bits_per_byte(self) -> float:
        """Bits of all tokens by UTF-8 bytes of the text, which models with unlike tokenizers can be compared by."""
        return float(self.nats.sum() / math.log(2) / max(1, self.utf8_bytes.sum()))


@dataclass(frozen=True)
class ForwardPass:
    """Token ids of one forward pass; from `first` on they are targets of `document`, at whose end stands an
    end-of-text token.
    """

    document: int
    ids: list[int]
    first: int


@torch.inference_mode()
def cross_entropy(
    stack: Stack,
    documents: Sequence[str],
    max_tokens_per_document: int | None = None,
    progress: Callable[[int], object] | None = None,
) -> DocumentCrossEntropy:
    """Nats, tokens and bytes of each document's first `max_tokens_per_document` tokens, its end-of-text token counted.

    An activation edit acts at every position, position 0 included, as ITI is measured (Li et al. 2023, arXiv
    2306.03341). Raises InputError when the prefix leaves no room in the model's context.
    """
    encoded = [[*ids, stack.model.end][:max_tokens_per_document] for ids in stack.model.encode(list(documents))]
    windows = text_windows(stack, encoded)
    nats = np.zeros(len(documents))
    with stack.editing(EditedPositions(everywhere=True)):
        for batch in batches([len(window.ids) for window in windows], _TOKENS_PER_BATCH):
            chosen = [windows[index] for index in batch]
            np.add.at(nats, [window.document for window in chosen], window_nats(stack, chosen).cpu().numpy())
            if progress is not None:
                progress(len(chosen))
    tokens, sizes = [len(ids) for ids in encoded], map(partial(_utf8_bytes, stack.model), documents, encoded)
    return DocumentCrossEntropy(nats, np.array(tokens, dtype=np.int64), np.fromiter(sizes, np.int64, len(encoded)))


def _utf8_bytes(model: CausalModel, document: str, ids: list[int]) -> int:
    """Bytes of the text of the tokens. A cut may leave a part of a character, which is none."""
    whole = bool(ids) and ids[-1] == model.end
    text = document if whole else model.decode(ids).rstrip("\N{REPLACEMENT CHARACTER}")
    return len(text.encode())


def window_nats(stack: Stack, windows: Sequence[ForwardPass]) -> torch.Tensor:
    """Nats of each window's targets, [windows] float64 on the model's device; one forward pass."""
    ids_WT, _ = right_padded([window.ids for window in windows], stack.model)
    position = torch.arange(ids_WT.shape[1])
    first = torch.tensor([window.first for window in windows])
    end = torch.tensor([len(window.ids) for window in windows])
    targets_WT = (position >= first[:, None]) & (position < end[:, None])
    is_whole = torch.tensor([window.ids[-1] == stack.model.end for window in windows])
    return token_nats(stack, ids_WT, targets_WT, is_whole[:, None] & (position == end[:, None] - 1)).sum(-1)


def text_windows(stack: Stack, encoded: list[list[int]]) -> list[ForwardPass]:
    """The documents as forward passes. Raises InputError when the prefix leaves no room in the model's context."""
    fixed = [stack.model.start, *stack.prefix]
    room = stack.max_positions - 1 - stack.longest_prefix
    if room < 2:
        raise InputError(
            f"the prefix of {1 + stack.longest_prefix} tokens fills the model's {stack.max_positions} positions"
        )
    windows = []
    for document, ids in enumerate(encoded):
        done = 0
        while done < len(ids):
            begin = max(0, done - room // 2) if len(ids) > room else 0
            end = min(begin + room, len(ids))
            windows.append(ForwardPass(document, fixed + ids[begin:end], len(fixed) + done - begin))
            done = end
    return windows
