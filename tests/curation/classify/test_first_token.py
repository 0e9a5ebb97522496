"""Classifiers that read their first token: the same logits from less work.

Covers curation.classify.first_token.
"""

from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoConfig, AutoModelForSequenceClassification

from curation.classify.first_token import read_first_token_only

_SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64,
          "vocab_size": 50, "num_labels": 3, "initializer_range": 0.5}  # fmt: skip
_BATCH = torch.arange(5, 29).view(3, 8), torch.tensor([[1] * 8, [1] * 5 + [0] * 3, [1] * 2 + [0] * 6])


def _model(kind: str, attention: str) -> torch.nn.Module:
    torch.manual_seed(0)
    config = AutoConfig.for_model(kind, **_SMALL)
    return AutoModelForSequenceClassification.from_config(config, attn_implementation=attention).eval()


def _logits(model: torch.nn.Module) -> tuple[torch.Tensor, int]:
    ids, mask = _BATCH
    with torch.inference_mode(), FlopCounterMode(display=False) as counted:
        return model(input_ids=ids, attention_mask=mask).logits, counted.get_total_flops()


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("kind", ["bert", "roberta", "xlm-roberta"])
def test_logits_stay_and_the_last_layer_is_cheaper(kind: str, attention: str) -> None:
    expected, whole = _logits(_model(kind, attention))
    logits, less = _logits(read_first_token_only(_model(kind, attention)))
    torch.testing.assert_close(logits, expected, atol=1e-5, rtol=1e-5)
    assert expected.std(0).min() > 1e-3, "padding and text make no difference"
    assert less < 0.75 * whole


def test_a_model_of_another_kind_is_left_as_it_is() -> None:
    model = _model("electra", "sdpa")
    assert str(read_first_token_only(model)) == str(_model("electra", "sdpa"))
