"""The token model `transformer`: a fine-tuned encoder with one logit per piece, and a lexical model beside it.

A word's logit is the mean over its pieces, mixed with the lexical model's: a small encoder has rare words in pieces
that tell little, the lexical model knows them and sees no meaning. Then it is seen in context, as the lexical model's
is. A text longer than the encoder reads is seen in overlapping windows. Texts of like length share a batch, and padding
moves a score by at most `TOLERANCE`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from transformers import AutoModelForTokenClassification, AutoTokenizer

from curation.classify.devices import has_gpu, torch_device
from curation.classify.quiet import quiet
from curation.classify.windows import buckets, padded
from curation.token_models.base import TokenModel, WordScores
from curation.token_models.context import InContext
from curation.token_models.lexical import LexicalModel
from curation.token_models.windows import Window, WordSpans, per_word, windows_of
from infra.errors import ArtifactError

if TYPE_CHECKING:
    from numpy.typing import NDArray

TOLERANCE = 1e-4
"""Most by which a score may move with the other texts of its batch: sums over padded rows round differently."""
_ON_A_GPU = 32_768  # pieces of a batch at least: with 2,048 it waits for its kernels to be launched
_FOLDER, _LEXICAL = "encoder", "lexical"
_NEVER = -30.0  # logit of a word that the tokenizer drops (control characters and the like)


class TransformerModel(TokenModel):
    """A Hugging Face token classifier with one output, its tokenizer, and the step that makes its logits scores.

    `in_context` is None until it is fitted, and then the model can score. `lexical` has the share `lexical_share` in a
    word's logit.
    """

    name: ClassVar[str] = "transformer"

    def __init__(
        self, encoder: Any, tokenizer: Any, in_context: InContext | None, window: int, batch_tokens: int,
        lexical: LexicalModel | None = None, lexical_share: float = 0.0,
    ) -> None:  # fmt: skip

        if not has_gpu():
            torch.set_num_threads(1)  # one process per core does more, and sums come out the same on every machine
        self.device = torch_device("cuda" if has_gpu() else "cpu")
        self.encoder, self.tokenizer = encoder.eval().to(self.device), tokenizer
        self.in_context, self.window, self.batch_tokens = in_context, window, batch_tokens
        self.lexical, self.lexical_share = lexical, lexical_share

    @classmethod
    def load(cls, folder: Path, settings: dict[str, Any]) -> TransformerModel:
        """Load what `save` wrote; `settings` is what `settings` returned then."""
        try:
            with quiet():
                encoder = AutoModelForTokenClassification.from_pretrained(
                    folder / _FOLDER, local_files_only=True, use_safetensors=True
                )
            tokenizer = AutoTokenizer.from_pretrained(folder / _FOLDER, local_files_only=True)
        except (OSError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise ArtifactError(f"{folder / _FOLDER}: cannot be loaded: {reason}; train the tagger again") from None
        beside, share = settings["lexical"], settings["lexical_share"]
        lexical = LexicalModel.load(folder / _LEXICAL, beside) if beside else None
        in_context = InContext.from_json(settings["in_context"])
        return cls(encoder, tokenizer, in_context, settings["window"], settings["batch_tokens"], lexical, share)

    def save(self, folder: Path) -> None:
        """`encoder/`: safetensors, configuration and tokenizer; `lexical/`: the table."""
        with quiet():
            self.encoder.save_pretrained(folder / _FOLDER)
        self.tokenizer.save_pretrained(folder / _FOLDER)
        if self.lexical is not None:
            (folder / _LEXICAL).mkdir(exist_ok=True)
            self.lexical.save(folder / _LEXICAL)

    def settings(self) -> dict[str, Any]:
        """Window, batch, the lexical model and the last step."""
        assert self.in_context is not None
        lexical = self.lexical.settings() if self.lexical is not None else None
        return {"window": self.window, "batch_tokens": self.batch_tokens, "in_context": self.in_context.to_json(),
                "lexical": lexical, "lexical_share": self.lexical_share}  # fmt: skip

    def score(self, texts: list[str], floor: float = 0.0) -> list[WordScores]:
        """Words at or above `floor`."""
        assert self.in_context is not None
        spans_by_text, logits = self.logits(texts)
        scores = [self.in_context.apply(words, [len(words)]) for words in logits]
        if self.gate is not None:
            scores = self.gate.applied(texts, logits, scores, floor)
        chosen = [np.flatnonzero(words >= floor) for words in scores]
        return [WordScores([spans[index] for index in rows], words[rows])
                for spans, words, rows in zip(spans_by_text, scores, chosen, strict=True)]  # fmt: skip

    def word_logits(self, texts: list[str]) -> list[NDArray[np.float64]]:
        """Those of encoder and lexical model together."""
        return self.logits(texts)[1]

    def logits(self, texts: list[str]) -> tuple[list[WordSpans], list[NDArray[np.float64]]]:
        """WordSpans of all words of each text, and their logits before the last step."""
        spans_by_text, windows = windows_of(self.tokenizer, texts, self.window)
        pairs = zip(windows, self._forward(windows), strict=True)
        by_window = ((window, *window.reduce(piece_logits, mean=True)) for window, piece_logits in pairs)
        logits = per_word(spans_by_text, by_window, _NEVER)
        return spans_by_text, logits if self.lexical is None else self._mixed(self.lexical, texts, logits)

    def _mixed(
        self, lexical: LexicalModel, texts: list[str], logits: list[NDArray[np.float64]]
    ) -> list[NDArray[np.float64]]:
        """The encoder's logits with their share of the lexical model's."""
        share = self.lexical_share
        pairs = zip(logits, lexical.word_logits(texts), strict=True)
        return [(1 - share) * of_encoder + share * of_lexical for of_encoder, of_lexical in pairs]

    def _forward(self, windows: list[Window]) -> list[NDArray[np.float64]]:
        """A logit for each piece of each window."""
        piece_logits: list[NDArray[np.float64]] = [np.zeros(0)] * len(windows)
        together = self.batch_tokens if self.device == "cpu" else max(self.batch_tokens, _ON_A_GPU)
        for rows in buckets([len(window.ids) for window in windows], together):
            ids, mask = padded([windows[row].ids for row in rows], self.tokenizer.pad_token_id or 0)
            with torch.inference_mode():
                inputs = {"input_ids": torch.from_numpy(ids), "attention_mask": torch.from_numpy(mask)}
                logits = self.encoder(**{key: value.to(self.device) for key, value in inputs.items()}).logits
            table = logits[..., 0].float().cpu().numpy().astype(np.float64)
            for number, row in enumerate(rows):
                piece_logits[row] = table[number, : len(windows[row].ids)]
        return piece_logits
