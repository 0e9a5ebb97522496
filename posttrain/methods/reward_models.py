"""Reward models: what of a hidden state says how benign a text is, from 0 (toxic) to 1.

A classifier of transformers on a causal backbone reads a text once, left to right, so the hidden state at a token
judges the text up to it, and the states before it come from the cache.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import torch
from safetensors import SafetensorError

from infra.errors import InputError, UserError
from posttrain.loading.configuration import attention, read_config
from posttrain.loading.weights import check_finite, check_report
from posttrain.model import CausalModel, choose_device, find_heads, first_line
from pretrain.huggingface.location import check_weights, fingerprint, weights_folder

_TOXIC = ("toxic", "toxicity")
Form = Literal["sigmoid", "softmax", "clamped"]


@dataclass(frozen=True)
class RewardHead:
    """`weight` [labels, hidden] and `bias` [labels] give scores of a hidden state; `form` makes probabilities of them,
    `label` is the one that is read, and `benign` says whether it is high for benign text.
    """

    weight: torch.Tensor
    bias: torch.Tensor
    form: Form
    label: int = 0
    benign: bool = True

    def reward(self, hidden: torch.Tensor) -> torch.Tensor:
        """Reward in [0, 1] of hidden states [..., hidden]; float64, last axis gone."""
        scores = (hidden.float() @ self.weight.T + self.bias).double()
        if self.form == "softmax":
            shares = scores.softmax(-1)
        else:
            shares = scores.sigmoid() if self.form == "sigmoid" else scores.clamp(0, 1)
        chosen = shares[..., self.label]
        return chosen if self.benign else 1 - chosen


@dataclass(frozen=True)
class Classifier:
    """A causal backbone and its head; `judge` gives hidden states, and has no logits."""

    judge: CausalModel
    head: RewardHead


def load_classifier(location: str, device: str, label: str | None, benign: bool) -> Classifier:
    """Load a sequence classifier, once a process. Raises InputError for what is none, or not on a causal backbone."""
    judge, head = _load(location, fingerprint(location), device)
    config = judge.network.config
    chosen = _label_of(location, config.id2label, label)
    return Classifier(judge, RewardHead(*head, form_of(config), chosen, benign))


def form_of(config: Any) -> Form:
    """How the scores of a classifier become probabilities: by its `problem_type`, or the number of its labels."""
    problem = getattr(config, "problem_type", None) or ("regression" if config.num_labels == 1 else None)
    forms: dict[str | None, Form] = {"regression": "clamped", "multi_label_classification": "sigmoid"}
    return forms.get(problem, "softmax")


def _label_of(location: str, names: dict[int, str], label: str | None) -> int:
    meant = _TOXIC if label is None else (label.lower(),)
    if label is None and len(names) == 1:
        return 0
    matching = [index for index, name in names.items() if name.lower() in meant]
    if len(matching) != 1:
        raise InputError(f"{location}: say with `label` which of its labels is meant: {', '.join(names.values())}")
    return int(matching[0])


@lru_cache(maxsize=4)
def _load(location: str, identity: str, device: str) -> tuple[CausalModel, tuple[torch.Tensor, torch.Tensor]]:
    """The backbone, and weight and bias of the head. `identity` is the fingerprint: other content is another model."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    folder, target = weights_folder(location), choose_device("cuda" if device == "cuda" else "cpu")
    check_weights(location)
    dtype = torch.float32 if target.type == "cpu" else torch.bfloat16
    try:
        config = read_config(folder, location)
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        network, report = AutoModelForSequenceClassification.from_pretrained(
            folder,
            config=config,
            dtype=dtype,
            attn_implementation=attention(config),
            use_safetensors=True,
            trust_remote_code=False,
            ignore_mismatched_sizes=True,  # so that they are in the report
            output_loading_info=True,
        )
    except UserError:
        raise
    except (OSError, ValueError, KeyError, RuntimeError, ImportError, SafetensorError) as error:
        raise InputError(f"{location}: cannot be loaded as a sequence classifier: {first_line(error)}") from None
    head = getattr(network, "score", None)
    if head is None or report["missing_keys"]:
        what = f"the weights {', '.join(sorted(report['missing_keys']))}" if head is not None else "a head `score`"
        raise InputError(f"{location}: is no trained classifier on a causal backbone: it lacks {what}")
    check_report(report, location)
    check_finite(network, location)
    judge = _backbone(network.to(target).eval(), tokenizer, identity)
    _check_causal(judge, location)
    weight = head.weight.detach().float()
    bias = head.bias.detach().float() if head.bias is not None else weight.new_zeros(len(weight))
    return judge, (weight, bias)


def _backbone(network: Any, tokenizer: Any, identity: str) -> CausalModel:
    outputs, layout = find_heads(network)
    end = tokenizer.eos_token_id
    if end is None:
        raise InputError("the reward model's tokenizer has no end-of-text token")
    return CausalModel(
        network=network,
        tokenizer=tokenizer,
        fingerprint=identity,
        layout=layout,
        outputs=outputs,
        start=tokenizer.bos_token_id if tokenizer.bos_token_id is not None else end,
        end=end,
        ends=(end,),
        max_positions=network.config.max_position_embeddings,
    )


@torch.inference_mode()
def _check_causal(judge: CausalModel, location: str) -> None:
    ids = torch.tensor([[judge.start, judge.end], [judge.start, 0 if judge.end else 1]], device=judge.device)
    first = judge.hidden(ids)[:, 0]
    if not torch.allclose(first[0], first[1], atol=1e-3, rtol=1e-3):
        raise InputError(f"{location}: reads a text in both directions, so no prefix of it can be judged from a cache")
