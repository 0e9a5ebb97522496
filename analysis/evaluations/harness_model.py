"""A steered model as lm-evaluation-harness (0.4.13) sees a model.

The harness's own steered model adds the last of several vectors at every hook; here every method of a stack acts, as
in decoding. Texts are encoded as `lm_eval.models.huggingface.HFLM` encodes them: context and continuation together,
trailing blanks of the context to the continuation, and a start token only where the tokenizer puts one or the context
is empty. Import it only where the extra `eval` is installed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from lm_eval.api.model import TemplateLM
from lm_eval.models.utils import (
    handle_stop_sequences,
    has_bos_prefix,
    normalize_gen_kwargs,
    postprocess_generated_text,
)
from lm_eval.utils import get_rolling_token_windows, make_disjoint_window

from infra.errors import UnavailableError
from posttrain.continuations import room
from posttrain.steered import Continuation, Sampling

if TYPE_CHECKING:
    from lm_eval.api.instance import Instance

    from posttrain.steered import Steered

TokenRequest = tuple[Any, list[int], list[int]]
"""What the harness asks, and the token ids of the context and of the continuation."""


class SteeredLM(TemplateLM):
    """Answers the three kinds of requests; greedy decoding only."""

    def __init__(self, steered: Steered) -> None:
        super().__init__()
        self.steered, self.tokenizer = steered, steered.model.tokenizer

    @property
    def eot_token_id(self) -> int:
        """The token that ends a generation."""
        return self.steered.model.end

    @property
    def prefix_token_id(self) -> int:
        """What stands before a continuation of nothing."""
        return self.steered.model.start

    @property
    def max_length(self) -> int:
        """Tokens that are read at most."""
        return room(self.steered.stack)

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **_: Any) -> list[int]:
        """Token ids with the tokenizer's own special tokens, unless told otherwise or the text begins with one."""
        if add_special_tokens is None and has_bos_prefix(string, self.tokenizer.decode(self.prefix_token_id)):
            add_special_tokens = False
        return self.tokenizer.encode(string, **_if_told(add_special_tokens=add_special_tokens))

    def loglikelihood(self, requests: list[Instance], disable_tqdm: bool = True) -> list[tuple[float, bool]]:
        """(log-likelihood of the continuation, whether it is greedy) of each request."""
        return super().loglikelihood(requests, disable_tqdm=disable_tqdm)

    def loglikelihood_rolling(self, requests: list[Instance], disable_tqdm: bool = True) -> list[float]:
        """Log-likelihood of each text, in windows that follow one another as the harness lays them."""
        windows = [self._windows(instance.args[0]) for instance in requests]
        scores = iter(self._loglikelihood_tokens([window for some in windows for window in some]))
        return [sum(next(scores)[0] for _ in some) for some in windows]

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = True) -> list[str]:
        """Greedy continuations behind the start token, cut before the first of the request's stop strings. Raises
        UnavailableError where a task samples.
        """
        asked = [(instance.args[0], _GenerationRequest(instance.args[1], self._end)) for instance in requests]
        texts = [""] * len(asked)
        for tokens in sorted({request.tokens for _, request in asked}):
            numbers = [number for number, (_, request) in enumerate(asked) if request.tokens == tokens]
            # the decoder puts the start token itself
            prompts = [asked[number][0].removeprefix(self.tokenizer.decode(self.prefix_token_id)) for number in numbers]
            generated = self.steered.generate(prompts, Sampling(tokens, temperature=0.0))
            for number, (generation,) in zip(numbers, generated, strict=True):
                texts[number] = postprocess_generated_text(generation.text, asked[number][1].until, None)
        return texts

    def _loglikelihood_tokens(self, requests: Sequence[TokenRequest], **_: Any) -> list[tuple[float, bool]]:
        asked = [Continuation(tuple(context), tuple(tokens)) for _, context, tokens in requests]
        return [(-score.nats, score.is_greedy) for score in self.steered.continuations(asked)]

    def _windows(self, text: str) -> list[TokenRequest]:
        windows: Iterable[tuple[list[int], list[int]]] = get_rolling_token_windows(
            self.tok_encode(text), self.prefix_token_id, max_seq_len=self.max_length, context_len=1
        )
        return [(None, *make_disjoint_window(window)) for window in windows]

    @property
    def _end(self) -> str:
        return self.tokenizer.decode(self.eot_token_id, skip_special_tokens=False)


class _GenerationRequest:
    """How one text is generated: tokens at most, and the strings that end it."""

    def __init__(self, arguments: dict[str, Any], end: str) -> None:
        given = normalize_gen_kwargs(arguments, default_max_gen_toks=256)
        if given.get("do_sample") and given.get("temperature", 0) != 0:
            raise UnavailableError("a task that samples is not measured here; set do_sample: false in its task file")
        self.tokens = int(given["max_gen_toks"])
        self.until = handle_stop_sequences(given.get("until"), eos=end)


def _if_told(**arguments: Any) -> dict[str, Any]:
    return {name: value for name, value in arguments.items() if value is not None}
