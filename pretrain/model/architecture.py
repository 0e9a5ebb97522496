"""Architectures and their presets. Sizes are OLMo's own: the ladder's 60M and 150M, and the released OLMo-1B.

All presets are OLMo-1's: the two SwiGLU projections are `ffn_hidden_size` = 4 × `hidden_size` wide (which
OLMo's configuration calls mlp_ratio 8), one key/value head per query head, tied embeddings, no biases, norms without
parameters.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from infra.errors import InputError
from pretrain.spec import ModelSpec

LAYER_NORM_EPSILON = 1e-5


@dataclass(frozen=True)
class Architecture:
    """An OLMo-1 architecture, complete once the vocabulary and the sequence length are known."""

    num_layers: int
    hidden_size: int
    num_attention_heads: int
    num_query_groups: int
    ffn_hidden_size: int
    vocab_size: int
    max_sequence_length: int
    rotary_base: float = 10000.0

    @classmethod
    def from_spec(cls, spec: ModelSpec, tokenizer_size: int, sequence_length: int) -> Architecture:
        """Complete a preset with the user's overrides, the tokenizer's size and the mixture's sequence length.

        A preset without a vocabulary of its own takes the tokenizer's, unpadded. Raises InputError when the tokenizer
        has more tokens than the vocabulary, or the mixture's sequences are longer than the model's context.
        """
        overrides = spec.model_dump(exclude={"preset"}, exclude_none=True)
        if "hidden_size" in overrides:
            overrides.setdefault("ffn_hidden_size", 4 * overrides["hidden_size"])
        if "num_attention_heads" in overrides:
            overrides.setdefault("num_query_groups", overrides["num_attention_heads"])
        architecture = replace(_PRESETS[spec.preset], **overrides)
        architecture = replace(
            architecture,
            vocab_size=architecture.vocab_size or tokenizer_size,
            max_sequence_length=architecture.max_sequence_length or sequence_length,
        )
        check_fits(architecture, tokenizer_size, sequence_length)
        return architecture

    @property
    def head_size(self) -> int:
        """Width of one attention head."""
        return self.hidden_size // self.num_attention_heads

    @property
    def key_size(self) -> int:
        """Width of the keys of all groups side by side, and of their values."""
        return self.num_query_groups * self.head_size

    @property
    def parameters(self) -> int:
        """Number of parameters; the embedding counts once, because the output layer shares it."""
        return self.vocab_size * self.hidden_size + self.num_layers * self.layer_parameters

    @property
    def layer_parameters(self) -> int:
        """Parameters of one layer: query and output projections, keys and values, three SwiGLU matrices."""
        attention = 2 * self.hidden_size + 2 * self.key_size
        return self.hidden_size * (attention + 3 * self.ffn_hidden_size)

    def __str__(self) -> str:
        return f"{self.num_layers} layers × {self.hidden_size}, {self.num_attention_heads} heads"

    def flops_per_token(self, sequence_length: int) -> float:
        """Training FLOPs per token, forward and backward: 6 per multiplied weight plus causal attention.

        The formula is that of PaLM (Chowdhery et al. 2022, arXiv 2204.02311, appendix B) with the attention term halved
        for causality; the output layer counts, the embedding look-up does not.
        """
        weights = self.num_layers * self.layer_parameters + self.vocab_size * self.hidden_size
        return 6.0 * weights + 6.0 * self.num_layers * self.hidden_size * sequence_length


_PRESETS = {
    "olmo-tiny": Architecture(4, 128, 4, 4, 512, 0, 0),
    "olmo-60m": Architecture(16, 384, 12, 12, 1536, 0, 0),
    "olmo-150m": Architecture(12, 768, 12, 12, 3072, 0, 0),
    # allenai/OLMo-1B: 50,280 tokens padded to 50,304, context 2048; 1,176,764,416 parameters.
    "olmo-1b": Architecture(16, 2048, 16, 16, 8192, 50304, 2048),
}

PRESET_NAMES = tuple(_PRESETS)


def check_fits(architecture: Architecture, tokenizer_size: int, sequence_length: int) -> None:
    """Raises InputError where the model cannot be built, or cannot read the mixture."""
    if tokenizer_size > architecture.vocab_size:
        raise InputError(
            f"the mixture's tokenizer has {tokenizer_size} tokens and the model a vocabulary of "
            f"{architecture.vocab_size}; set model.vocab_size to at least {tokenizer_size}"
        )
    if sequence_length > architecture.max_sequence_length:
        raise InputError(
            f"the mixture's sequences are {sequence_length} tokens long and the model's context is "
            f"{architecture.max_sequence_length}; set model.max_sequence_length or build the mixture with shorter "
            "sequences"
        )
    if architecture.hidden_size % architecture.num_attention_heads or architecture.head_size % 2:
        raise InputError(
            f"model.hidden_size ({architecture.hidden_size}) must be an even multiple of model.num_attention_heads "
            f"({architecture.num_attention_heads})"
        )
    if architecture.num_attention_heads % architecture.num_query_groups:
        raise InputError(
            f"model.num_attention_heads ({architecture.num_attention_heads}) must be a multiple of "
            f"model.num_query_groups ({architecture.num_query_groups})"
        )
