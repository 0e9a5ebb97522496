"""Model presets. Sizes are OLMo's own: the ladder's 60M and 150M, and the released OLMo-1B.

Every preset has OLMo-1's shape: the two SwiGLU projections are `ffn_hidden_size` = 4 × `hidden_size` wide (which
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

    @property
    def head_size(self) -> int:
        """Width of one attention head."""
        return self.hidden_size // self.num_attention_heads

    @property
    def parameters(self) -> int:
        """Number of parameters; the embedding counts once, because the output layer shares it."""
        return self.vocab_size * self.hidden_size + self.num_layers * self.layer_parameters

    @property
    def layer_parameters(self) -> int:
        """Parameters of one layer: query and output projections, keys and values, three SwiGLU matrices."""
        attention = 2 * self.hidden_size + 2 * self.num_query_groups * self.head_size
        return self.hidden_size * (attention + 3 * self.ffn_hidden_size)

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


def architecture(spec: ModelSpec, tokenizer_size: int, sequence_length: int) -> Architecture:
    """Complete a preset with the user's overrides, the tokenizer's size and the mixture's sequence length.

    A preset without a vocabulary of its own takes the tokenizer's, unpadded. Raises InputError when the tokenizer has
    more tokens than the vocabulary, or the mixture's sequences are longer than the model's context.
    """
    preset = _PRESETS[spec.preset]
    changes = {key: value for key, value in spec.model_dump(exclude={"preset"}).items() if value is not None}
    if "hidden_size" in changes and "ffn_hidden_size" not in changes:
        changes["ffn_hidden_size"] = 4 * changes["hidden_size"]
    if "num_attention_heads" in changes and "num_query_groups" not in changes:
        changes["num_query_groups"] = changes["num_attention_heads"]
    built = replace(preset, **changes)
    built = replace(
        built,
        vocab_size=built.vocab_size or tokenizer_size,
        max_sequence_length=built.max_sequence_length or sequence_length,
    )
    check_fits(built, tokenizer_size, sequence_length)
    return built


def check_fits(built: Architecture, tokenizer_size: int, sequence_length: int) -> None:
    """Raises InputError where the model cannot be built, or cannot read the mixture."""
    if tokenizer_size > built.vocab_size:
        raise InputError(
            f"the mixture's tokenizer has {tokenizer_size} tokens and the model a vocabulary of {built.vocab_size}; "
            f"set model.vocab_size to at least {tokenizer_size}"
        )
    if sequence_length > built.max_sequence_length:
        raise InputError(
            f"the mixture's sequences are {sequence_length} tokens long and the model's context is "
            f"{built.max_sequence_length}; set model.max_sequence_length or build the mixture with shorter sequences"
        )
    if built.hidden_size % built.num_attention_heads or built.head_size % 2:
        raise InputError(
            f"model.hidden_size ({built.hidden_size}) must be an even multiple of model.num_attention_heads "
            f"({built.num_attention_heads})"
        )
    if built.num_attention_heads % built.num_query_groups:
        raise InputError(
            f"model.num_attention_heads ({built.num_attention_heads}) must be a multiple of model.num_query_groups "
            f"({built.num_query_groups})"
        )
