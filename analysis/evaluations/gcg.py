"""A search by nanogcg (0.2.3) on what hormesis decodes from: behind start token and prefix, with the edits active.

Import it only where the extra `eval` is installed.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import random
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import nanogcg.gcg
import numpy as np
import torch

from analysis.evaluations.options import RedTeamSpec
from analysis.evaluations.suffixes import Failure, Suffix, in_chat
from posttrain.methods.base import EditedPositions
from posttrain.model import CausalModel
from posttrain.stack import Stack

_SLOT = "{optim_str}"  # where nanogcg puts the suffix
_UNPRINTABLE = "\n"  # nanogcg takes tokens out that are not printable


def search(stack: Stack, request: str, target: str, options: RedTeamSpec, number: int) -> Suffix | Failure:
    """Seek a suffix of a request that makes the target likely under a stack of prefixes and edits, which act at every
    position, as in cross-entropy. The `number` of the request and the seed draw the search.
    """
    adapter = Adapter(stack, options.chat)
    seed = int(np.random.SeedSequence([options.seed, number]).generate_state(1)[0])
    config = nanogcg.GCGConfig(
        num_steps=options.num_steps,
        search_width=options.search_width,
        # nanogcg draws among the `topk` best even where fewer tokens are allowed, and takes forbidden ones then
        topk=min(options.topk, adapter.allowed),
        n_replace=options.n_replace,
        optim_str_init=options.initial,
        use_prefix_cache=False,  # it hands lists over for caches, which transformers 5 does not take
        seed=seed,
        verbosity="ERROR",
    )
    with _as_it_was(), torch.enable_grad(), stack.editing(EditedPositions(everywhere=True)):
        try:
            result = nanogcg.run(stack.model.network, adapter, request, target, config)
        except RuntimeError as error:
            if "after decoding and re-encoding" not in str(error):
                raise
            return Failure("no suffix that was tried is encoded as the tokens that it is made of")
    return Suffix(result.best_string, float(result.best_loss), adapter.keeps(request, result.best_string))


class Adapter:
    """A model's tokenizer as nanogcg uses one: start token and the stack's prefix before every request, and the chat
    template only where it is asked for.
    """

    chat_template = "ours"
    bos_token = None
    bos_token_id = eos_token_id = pad_token_id = unk_token_id = None

    def __init__(self, stack: Stack, chat: bool) -> None:
        self.stack, self.chat, self.tokenizer = stack, chat, stack.model.tokenizer
        self.vocab_size: int = stack.model.network.get_input_embeddings().num_embeddings

    def __call__(self, text: str | list[str], add_special_tokens: bool = True, **_: Any) -> Any:
        """Token ids of one text, as a tensor; where special tokens are added, they are start token and prefix."""
        from transformers import BatchEncoding

        (ids,) = self.model.encode([text] if isinstance(text, str) else text)
        head = [self.model.start, *self.stack.prefix] if add_special_tokens else []
        return BatchEncoding({"input_ids": torch.tensor([[*head, *ids]], dtype=torch.int64)})

    def apply_chat_template(self, messages: Sequence[dict[str, str]], **_: Any) -> str:
        """The request with the slot for the suffix."""
        content = messages[-1]["content"]
        return in_chat(self.tokenizer, content) if self.chat else content

    def decode(self, ids: list[int]) -> str:
        """Text of token ids; a special token, or a number beyond the tokenizer's, is not printable."""
        if any(token in self._special or token >= len(self.tokenizer) for token in ids):
            return _UNPRINTABLE
        return self.tokenizer.decode(ids, clean_up_tokenization_spaces=False)

    def batch_decode(self, rows: torch.Tensor) -> list[str]:
        """Texts of rows of token ids."""
        return [self.tokenizer.decode(row, clean_up_tokenization_spaces=False) for row in rows.tolist()]

    def keeps(self, request: str, suffix: str) -> bool:
        """Whether request and suffix, encoded as one text, are the tokens of the search."""
        before, after = self.apply_chat_template([{"content": request + _SLOT}]).split(_SLOT)
        apart = [token for ids in self.model.encode([before, suffix, after]) for token in ids]
        return self.model.encode([before + suffix + after])[0] == apart

    @property
    def model(self) -> CausalModel:
        """The attacked model."""
        return self.stack.model

    @cached_property
    def allowed(self) -> int:
        """Tokens that a suffix may be made of, those that nanogcg leaves in."""
        texts = (self.decode([token]) for token in range(self.vocab_size))
        return sum(text.isascii() and text.isprintable() for text in texts)

    @cached_property
    def _special(self) -> frozenset[int]:
        return frozenset(self.tokenizer.all_special_ids)


@contextlib.contextmanager
def _as_it_was() -> Iterator[None]:
    """nanogcg seeds every generator of the process, asks for deterministic kernels, draws a bar, and has all garbage
    collected twice a step, which takes most of the step of a small model.
    """
    python, numpy, bar = random.getstate(), np.random.get_state(), nanogcg.gcg.tqdm
    deterministic = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    nanogcg.gcg.tqdm = functools.partial(bar, disable=True)
    gc.freeze()
    try:
        with torch.random.fork_rng():
            yield
    finally:
        gc.unfreeze()
        random.setstate(python)
        np.random.set_state(numpy)
        torch.use_deterministic_algorithms(deterministic, warn_only=warn_only)
        nanogcg.gcg.tqdm = bar
