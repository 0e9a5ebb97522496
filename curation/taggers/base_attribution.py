"""Which words make a transformer classifier say what it says: gradient × input, integrated gradients, occlusion.

Each gives a number per word of a window; what raises the attribute's log-odds is positive. Log-odds, because a gradient
of probability vanishes where the classifier is sure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from scipy.special import expit

from curation.classify.windows import buckets, padded
from curation.token_models.windows import Window

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from curation.scorers.base_transformer import TransformerScorer

_SURE = 1e-6  # probabilities are kept this far from 0 and 1, where log-odds are infinite
Contributions = list["tuple[NDArray[np.int64], NDArray[np.float64]]"]
"""For each window its words, and what each of them contributes."""


def gradient_x_input(
    scorer: TransformerScorer, windows: list[Window], column: int, batch_tokens: int, steps: int
) -> Contributions:
    """Gradient of the log-odds by the pieces' embeddings, times the embeddings; one pass there and back."""
    return _by_gradient(scorer, windows, column, batch_tokens, lambda vectors, mask: [(vectors, 1.0)])


def integrated_gradients(
    scorer: TransformerScorer, windows: list[Window], column: int, batch_tokens: int, steps: int
) -> Contributions:
    """Mean gradient on the straight way from a blank to the text, times the way (Sundararajan et al. 2017,
    arXiv 1703.01365).

    The blank has the padding's embedding (zero where there is none) in place of every piece that belongs to a word. The
    way is walked in `steps` steps, each seen at its middle; contributions add up to the difference in log-odds.
    """
    table = scorer.model.get_input_embeddings().weight
    pad = scorer.tokenizer.pad_token_id
    blank = table[pad].detach() if pad is not None else table.new_zeros(table.shape[1])

    def path(vectors: Any, mask: Any) -> Iterator[tuple[Any, float]]:
        start = vectors + mask[..., None] * (blank - vectors)
        for step in range(steps):
            yield start + (step + 0.5) / steps * (vectors - start), 1.0 / steps

    return _by_gradient(scorer, windows, column, batch_tokens, path, blank)


def occlusion(
    scorer: TransformerScorer, windows: list[Window], column: int, batch_tokens: int, steps: int
) -> Contributions:
    """How far the log-odds fall when a word is masked; one pass for each word."""
    tokenizer = scorer.tokenizer
    hole = next((token_id for token_id in (tokenizer.mask_token_id, tokenizer.unk_token_id, tokenizer.pad_token_id)
                 if token_id is not None), 0)  # fmt: skip
    words = [np.unique(window.words[window.words >= 0]) for window in windows]
    rows: list[tuple[int, ...]] = []
    for window, words_of_window in zip(windows, words, strict=True):
        ids = np.array(window.ids)
        rows += [window.ids, *(tuple(np.where(window.words == word, hole, ids).tolist()) for word in words_of_window)]
    odds, contributions, start = _odds(scorer, rows, column, batch_tokens), [], 0
    for words_of_window in words:
        contributions.append((words_of_window, odds[start] - odds[start + 1 : start + 1 + len(words_of_window)]))
        start += 1 + len(words_of_window)
    return contributions


METHODS = {"gradient_x_input": gradient_x_input, "integrated_gradients": integrated_gradients, "occlusion": occlusion}


def probabilities(
    scorer: TransformerScorer, windows: list[Window], column: int, batch_tokens: int
) -> NDArray[np.float64]:
    """The attribute's probability in each window."""
    return expit(_odds(scorer, [window.ids for window in windows], column, batch_tokens))


def _by_gradient(
    scorer: TransformerScorer, windows: list[Window], column: int, batch_tokens: int,
    path: Callable[[Any, Any], Any], blank: Any = None,
) -> Contributions:  # fmt: skip
    """Sum over the points of `path` of gradient × (text - blank), weighted, by word."""
    contributions: Contributions = [(np.zeros(0, np.int64), np.zeros(0))] * len(windows)
    for rows in buckets([len(window.ids) for window in windows], batch_tokens):
        ids, mask = _tensors(scorer, [windows[row].ids for row in rows])
        with torch.no_grad():
            vectors = scorer.model.get_input_embeddings()(ids)
        in_words = torch.zeros(ids.shape, device=ids.device)
        for number, row in enumerate(rows):
            in_words[number, : len(windows[row].ids)] = torch.from_numpy((windows[row].words >= 0).astype(np.float32))
        way = vectors if blank is None else vectors - blank
        total = torch.zeros(ids.shape, device=ids.device)
        for point, weight in path(vectors, in_words):
            total += weight * (_gradient(scorer, point, mask, column) * way).sum(-1)
        for number, row in enumerate(rows):
            values = total[number, : len(windows[row].ids)].cpu().numpy().astype(np.float64)
            contributions[row] = windows[row].reduce(values, mean=False)
    return contributions


def _gradient(scorer: TransformerScorer, vectors: Any, mask: Any, column: int) -> Any:
    point = vectors.detach().requires_grad_(True)
    logits = scorer.model(inputs_embeds=point, attention_mask=mask).logits
    odds = torch.logit(scorer.probabilities(logits)[:, column].clamp(_SURE, 1 - _SURE))
    return torch.autograd.grad(odds.sum(), point)[0]


def _odds(
    scorer: TransformerScorer, rows: list[tuple[int, ...]], column: int, batch_tokens: int
) -> NDArray[np.float64]:
    """Log-odds of the attribute for each row of piece ids."""
    odds, model = np.zeros(len(rows)), scorer.model  # loaded here: weights made in inference mode have no gradients
    for chosen in buckets([len(row) for row in rows], batch_tokens):
        ids, mask = _tensors(scorer, [rows[row] for row in chosen])
        with torch.inference_mode():
            logits = model(input_ids=ids, attention_mask=mask).logits
            batch_odds = torch.logit(scorer.probabilities(logits)[:, column].double().clamp(_SURE, 1 - _SURE))
        odds[chosen] = batch_odds.cpu().numpy()
    return odds


def _tensors(scorer: TransformerScorer, rows: list[tuple[int, ...]]) -> tuple[Any, Any]:
    """Piece ids and attention mask on the scorer's device."""
    ids, mask = padded(rows, scorer.tokenizer.pad_token_id or 0)
    return torch.from_numpy(ids).to(scorer.device), torch.from_numpy(mask).to(scorer.device)
