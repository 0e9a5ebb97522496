"""Fine-tuning an encoder to one logit per piece: binary cross-entropy on the pieces of words, AdamW, linear decay.

Batches are cut by a budget of pieces out of windows of like length, in an order drawn anew for each epoch. A killed run
goes on after the last whole epoch.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from transformers import AutoModelForTokenClassification, AutoTokenizer, get_linear_schedule_with_warmup

from curation.classify.quiet import quiet
from curation.classify.windows import buckets, padded
from curation.token_models.labels import LabelledText, word_targets
from curation.token_models.transformer import TransformerModel
from curation.token_models.windows import Window, windows_of
from infra.atomic import atomic_path
from infra.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from curation.training.tagger.spec import EncoderSpec

Batch = list[tuple[Window, "NDArray[np.float32]"]]
"""Windows, each with the label of each of its pieces; NaN where a piece belongs to no word."""
_BLUR = 8  # pieces within which lengths count as equal, so that other windows meet in every epoch


def fit_transformer(
    texts: list[LabelledText], spec: EncoderSpec, encoder: Path, seed: int, checkpoint: Path,
    advance: Callable[[int], None],
) -> TransformerModel:  # fmt: skip
    """Train on `texts`; `advance` is called with the texts of each batch. `checkpoint` is a file for resuming."""
    torch.manual_seed(seed)
    model = _fresh(spec, encoder)
    torch.set_num_threads(spec.threads)  # after `_fresh`: a TransformerModel sets one thread, for scoring
    windows = _windows(model, texts)
    plan = [_batches(windows, spec.batch_tokens, seed + epoch) for epoch in range(spec.epochs)]
    optimizer, schedule = _optimizer(model.encoder, spec, sum(len(batches) for batches in plan))
    done = _resume(checkpoint, model.encoder, optimizer, schedule)
    for epoch in range(spec.epochs):
        if epoch < done:
            advance(sum(len(batch) for batch in plan[epoch]))
            continue
        torch.manual_seed(seed + epoch)  # of dropout: an epoch that is done again is the same
        _epoch(model, plan[epoch], optimizer, schedule, spec, advance)
        _save(checkpoint, epoch + 1, model.encoder, optimizer, schedule)
    checkpoint.unlink(missing_ok=True)
    torch.set_num_threads(1)
    model.encoder.eval()
    return model


def _fresh(spec: EncoderSpec, encoder: Path) -> TransformerModel:
    with quiet():  # the output layer is new, which transformers finds worth a report
        network = AutoModelForTokenClassification.from_pretrained(encoder, num_labels=1, local_files_only=True)
    positions = getattr(network.config, "max_position_embeddings", None) or spec.window
    if spec.window > positions:
        raise InputError(f"{spec.encoder}: reads {positions} pieces at most, and model.window is {spec.window}; "
                         "give a smaller window")  # fmt: skip
    tokenizer = AutoTokenizer.from_pretrained(encoder, local_files_only=True)
    if spec.freeze_embeddings:
        network.get_input_embeddings().weight.requires_grad_(False)
    return TransformerModel(network, tokenizer, None, spec.window, spec.batch_tokens)


def _windows(model: TransformerModel, texts: list[LabelledText]) -> Batch:
    _, windows = windows_of(model.tokenizer, [labelled.text for labelled in texts], model.window)
    targets = [np.append(word_targets(labelled)[1], np.float32("nan")) for labelled in texts]  # word -1 is the last
    return [(window, targets[window.text][window.words]) for window in windows]


def _batches(windows: Batch, budget: int, seed: int) -> list[Batch]:
    """Batches in random order; lengths are blurred, so that the same windows do not meet in every epoch."""
    random = np.random.default_rng(seed)
    order = random.permutation(len(windows)).tolist()
    lengths = [len(windows[index][0].ids) // _BLUR * _BLUR + _BLUR for index in order]
    batches = [[windows[order[row]] for row in rows] for rows in buckets(lengths, budget)]
    return [batches[index] for index in random.permutation(len(batches))]


def _optimizer(network: Any, spec: EncoderSpec, steps: int) -> tuple[Any, Any]:
    """AdamW with a tenfold rate for the new head, and warm-up followed by linear decay to zero."""
    head = [p for name, p in network.named_parameters() if name.startswith("classifier")]
    body = [p for name, p in network.named_parameters() if p.requires_grad and not name.startswith("classifier")]
    groups = [{"params": body, "lr": spec.learning_rate}, {"params": head, "lr": 10 * spec.learning_rate}]
    optimizer = torch.optim.AdamW(groups, weight_decay=spec.weight_decay)
    return optimizer, get_linear_schedule_with_warmup(optimizer, round(spec.warmup * steps), steps)


def _epoch(
    model: TransformerModel, batches: list[Batch], optimizer: Any, schedule: Any, spec: EncoderSpec,
    advance: Callable[[int], None],
) -> None:  # fmt: skip

    model.encoder.train()
    for batch in batches:
        loss = _loss(model, batch, spec.positive_weight)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.encoder.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad(set_to_none=True)
        advance(len(batch))


def _loss(model: TransformerModel, batch: Batch, positive_weight: float) -> Any:
    """Mean cross-entropy over the pieces of words, risky ones weighing `positive_weight`."""
    rows = padded([window.ids for window, _ in batch], model.tokenizer.pad_token_id or 0)
    ids, mask = (torch.from_numpy(array).to(model.device) for array in rows)
    targets = torch.full(ids.shape, float("nan"))
    for row, (_, target) in enumerate(batch):
        targets[row, : len(target)] = torch.from_numpy(target)
    targets = targets.to(model.device)
    known = ~torch.isnan(targets)
    logits = model.encoder(input_ids=ids, attention_mask=mask).logits[..., 0]
    weight = torch.tensor(positive_weight, device=model.device)
    return torch.nn.functional.binary_cross_entropy_with_logits(logits[known], targets[known], pos_weight=weight)


def _save(file: Path, epochs: int, *modules: Any) -> None:
    with atomic_path(file) as temporary, open(temporary, "wb") as out:  # by name, torch refuses dot files
        torch.save({"epochs": epochs, "parts": [module.state_dict() for module in modules]}, out)


def _resume(file: Path, *modules: Any) -> int:
    """Epochs that are done already, their state taken over."""
    if not file.is_file():
        return 0
    saved = torch.load(file, map_location="cpu", weights_only=True)  # a work folder may be another's: no free pickle
    for module, state in zip(modules, saved["parts"], strict=True):
        module.load_state_dict(state)
    return int(saved["epochs"])
