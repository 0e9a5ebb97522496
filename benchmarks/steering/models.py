"""Models of random weights whose next-token distributions are as uneven as a trained model's.

Random weights cost what trained ones do, but their logits are nearly flat: nine tenths of a vocabulary would be in the
nucleus, and the benchmark would time its sort. The output layer is therefore apart from the embedding, and its rows are
of log-normal length: a token with a long row stands out in some contexts, so that some nuclei hold two tokens and
others a thousand.
"""

from __future__ import annotations

import string
from typing import Any

import numpy as np
import torch

from posttrain.decoding.nucleus import nucleus
from posttrain.model import CausalModel, wrap
from pretrain.huggingface.config import hf_config
from pretrain.model.architecture import Architecture
from pretrain.spec import ModelSpec

CONTEXT = 2048
END = 0
_LENGTH, _SPREAD = 1.8, 0.35  # mean and deviation of the rows' log-normal lengths, in deviations of a logit
SHAPES = {
    "tiny": (ModelSpec(preset="olmo-tiny", num_layers=3), 2048),  # the quickstart's
    "60m": (ModelSpec(preset="olmo-60m"), 50280),
    "1b": (ModelSpec(preset="olmo-1b"), 50280),
}


def random_model(shape: str) -> CausalModel:
    """One of SHAPES where models are put by default: in bfloat16 on a GPU, in float32 on a CPU."""
    from transformers import OlmoConfig, OlmoForCausalLM

    cuda = torch.cuda.is_available()
    device, dtype = ("cuda", torch.bfloat16) if cuda else ("cpu", torch.float32)
    spec, vocabulary = SHAPES[shape]
    architecture = Architecture.from_spec(spec, vocabulary, CONTEXT)
    torch.manual_seed(0)
    with torch.device(device):
        config = OlmoConfig(**{**hf_config(architecture, END, "bfloat16"), "tie_word_embeddings": False})
        network = OlmoForCausalLM(config)
        head = network.lm_head.weight.data
        # The last norm leaves vectors of length sqrt(hidden), so a row of length s gives logits of deviation s.
        lengths = (torch.randn(len(head), 1) * _SPREAD + np.log(_LENGTH)).exp()
        head.copy_(torch.randn_like(head) * lengths / head.shape[1] ** 0.5)
        head[END] = 0.0  # a logit of 0 is in no nucleus: no text ends by itself, and all are equally long
    return wrap(network.to(device, dtype).eval(), tokenizer(vocabulary), "random")


def words(count: int) -> list[str]:
    """Distinct made-up words of two to eight letters."""
    draw, letters = np.random.default_rng(1), np.array(list(string.ascii_lowercase))
    made: dict[str, None] = {}
    while len(made) < count:
        made["".join(draw.choice(letters, draw.integers(2, 9)))] = None
    return list(made)


def tokenizer(vocabulary: int) -> Any:
    """An end-of-text token, bytes, and made-up words behind a blank: the model is random, so nothing else matters."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    end = "<|endoftext|>"
    alphabet = [end, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    tokens = [*alphabet, *(f"Ġ{word}" for word in words(vocabulary - len(alphabet)))]
    made = Tokenizer(models.BPE({token: number for number, token in enumerate(tokens)}, []))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=made, eos_token=end, pad_token=end, padding_side="left")


def prompts(count: int) -> list[str]:
    """Texts of 12 to 28 bytes, which are as many tokens."""
    draw = np.random.default_rng(0)
    letters = np.array(list(string.ascii_lowercase))
    return ["".join(draw.choice(letters, draw.integers(12, 29))) for _ in range(count)]


@torch.inference_mode()
def nucleus_widths(model: CausalModel, top_p: float) -> list[int]:
    """Tokens in the nucleus after a prompt: deciles 1, 5 and 9 over 64 prompts."""
    ids = [torch.tensor([[model.start, *ids]], device=model.device) for ids in model.encode(prompts(64))]
    logits = torch.cat([model.logits(model.hidden(row)[:, -1]) for row in ids])
    widths = (nucleus(logits, 1.0, top_p).weights > 0).sum(-1)
    return [int(width) for width in np.percentile(widths.cpu().numpy(), [10, 50, 90])]
