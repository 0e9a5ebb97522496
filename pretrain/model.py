"""OLMo-1 in Megatron-core: GPTModel with non-parametric LayerNorm, SwiGLU, rotary positions, no biases, tied
embeddings.

Only the public layer-spec interface is used; nothing here is patched, so the model also runs without the CPU shim.
"""

from __future__ import annotations

import math
import zlib
from typing import Any

import torch
import torch.nn.functional as functional
from megatron.core import parallel_state
from megatron.core.fusions.fused_bias_dropout import get_bias_dropout_add
from megatron.core.models.common.embeddings.rotary_pos_embedding import RotaryEmbedding
from megatron.core.models.gpt import GPTModel
from megatron.core.tensor_parallel import ColumnParallelLinear, RowParallelLinear
from megatron.core.transformer import TransformerConfig
from megatron.core.transformer.attention import SelfAttention, SelfAttentionSubmodules
from megatron.core.transformer.enums import AttnMaskType
from megatron.core.transformer.identity_op import IdentityOp
from megatron.core.transformer.mlp import MLP, MLPSubmodules
from megatron.core.transformer.spec_utils import ModuleSpec
from megatron.core.transformer.transformer_block import TransformerBlockSubmodules, get_num_layers_to_build
from megatron.core.transformer.transformer_layer import TransformerLayer, TransformerLayerSubmodules
from torch import Tensor, nn

from pretrain.context import ContextParallelAttention
from pretrain.presets import LAYER_NORM_EPSILON, Architecture
from pretrain.spec import ParallelSpec


class NonParametricLayerNorm(nn.LayerNorm):
    """LayerNorm without weight and bias, computed in fp32 as transformers' OlmoLayerNorm does."""

    def __init__(self, config: TransformerConfig, hidden_size: int, eps: float = LAYER_NORM_EPSILON, **_: Any) -> None:
        super().__init__(hidden_size, eps=eps, elementwise_affine=False)

    def forward(self, hidden: Tensor) -> Tensor:
        return super().forward(hidden.float()).to(hidden.dtype)


class ScaledDotProductAttention(nn.Module):
    """Causal core attention on PyTorch's fused kernel, which picks flash attention where there is one."""

    def __init__(self, config: TransformerConfig, layer_number: int, attn_mask_type: AttnMaskType, **_: Any) -> None:
        super().__init__()
        assert attn_mask_type == AttnMaskType.causal and not config.attention_dropout

    def forward(
        self, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None = None, **_: Any
    ) -> Tensor:
        """Attend; query is [sequence, batch, heads, width], the result [sequence, batch, heads × width].

        `attention_mask`, bool [batch, 1, sequence, sequence], says which keys a query sees; None: all before it.
        """
        length, batch, heads, width = query.shape
        query, key, value = (part.permute(1, 2, 0, 3) for part in (query, key, value))
        attended = functional.scaled_dot_product_attention(
            query,
            key,
            value,
            attn_mask=attention_mask,
            is_causal=attention_mask is None and length > 1,
            enable_gqa=query.shape[1] != key.shape[1],
        )
        return attended.permute(2, 0, 1, 3).reshape(length, batch, heads * width)


class AnyDeviceRotary(RotaryEmbedding):
    """Rotary positions that stay on the model's device; the parent moves them to CUDA."""

    def get_emb(self, max_seq_len: int, offset: int = 0) -> Tensor:
        angles = self.get_freqs_non_repeated(max_seq_len, offset)
        return torch.cat((angles, angles), dim=-1)[:, None, None, :]


class OlmoModel(GPTModel):
    """GPTModel whose per-token cross-entropy takes PyTorch's fused kernel when the vocabulary is not divided.

    A vocabulary that the tensor ranks do not divide is padded; `vocabulary` is its size without the padding.
    """

    vocabulary: int

    def compute_language_model_loss(self, labels: Tensor, logits: Tensor) -> Tensor:
        """Per-token cross-entropy in fp32, [batch, sequence]; logits are [sequence, batch, this rank's vocabulary]."""
        if parallel_state.get_tensor_model_parallel_world_size() > 1:
            return super().compute_language_model_loss(labels, self._without_padding(logits))
        targets = labels.transpose(0, 1).reshape(-1)
        loss = functional.cross_entropy(logits.view(-1, logits.shape[-1]).float(), targets, reduction="none")
        return loss.view(labels.shape[1], labels.shape[0]).transpose(0, 1)

    def _without_padding(self, logits: Tensor) -> Tensor:
        """Logits whose padding has no probability; costs a pass over them where there is padding only."""
        width = logits.shape[-1]
        real = max(self.vocabulary - parallel_state.get_tensor_model_parallel_rank() * width, 0)
        return logits if real >= width else functional.pad(logits[..., :real], (0, width - real), value=-math.inf)


def transformer_config(
    shape: Architecture,
    parallel: ParallelSpec,
    dtype: torch.dtype,
    *,
    recompute: bool = False,
    repeatable: bool = False,
) -> TransformerConfig:
    """Megatron's configuration of an architecture; fused kernels that need Apex or Transformer Engine stay off."""
    return TransformerConfig(
        num_layers=shape.num_layers,
        hidden_size=shape.hidden_size,
        num_attention_heads=shape.num_attention_heads,
        num_query_groups=shape.num_query_groups,
        ffn_hidden_size=shape.ffn_hidden_size,
        gated_linear_unit=True,
        activation_func=functional.silu,
        add_bias_linear=False,
        normalization="LayerNorm",
        layernorm_epsilon=LAYER_NORM_EPSILON,
        hidden_dropout=0.0,
        attention_dropout=0.0,
        tensor_model_parallel_size=parallel.tensor,
        sequence_parallel=parallel.sequence,
        context_parallel_size=parallel.context,
        pipeline_model_parallel_size=parallel.pipeline,
        pipeline_dtype=dtype if parallel.pipeline > 1 else None,
        bf16=dtype == torch.bfloat16,
        params_dtype=dtype,
        recompute_granularity="full" if recompute else None,
        recompute_method="uniform" if recompute else None,
        recompute_num_layers=1 if recompute else None,
        deterministic_mode=repeatable,
        calculate_per_token_loss=True,
        use_cpu_initialization=True,
        perform_initialization=False,
        persist_layer_norm=False,
        bias_activation_fusion=False,
        bias_dropout_fusion=False,
        masked_softmax_fusion=False,
        gradient_accumulation_fusion=False,
        apply_rope_fusion=False,
    )


def _block_spec(config: TransformerConfig) -> TransformerBlockSubmodules:
    whole = config.context_parallel_size == 1
    attention = ModuleSpec(
        module=SelfAttention,
        params={"attn_mask_type": AttnMaskType.causal},
        submodules=SelfAttentionSubmodules(
            linear_qkv=ColumnParallelLinear,
            core_attention=ScaledDotProductAttention if whole else ContextParallelAttention,
            linear_proj=RowParallelLinear,
            q_layernorm=IdentityOp,
            k_layernorm=IdentityOp,
        ),
    )
    mlp = MLPSubmodules(linear_fc1=ColumnParallelLinear, linear_fc2=RowParallelLinear)
    layer = TransformerLayerSubmodules(
        input_layernorm=NonParametricLayerNorm,
        self_attention=attention,
        self_attn_bda=get_bias_dropout_add,
        pre_mlp_layernorm=NonParametricLayerNorm,
        mlp=ModuleSpec(module=MLP, submodules=mlp),
        mlp_bda=get_bias_dropout_add,
    )
    specs = [ModuleSpec(module=TransformerLayer, submodules=layer)] * get_num_layers_to_build(config)
    return TransformerBlockSubmodules(layer_specs=specs, layer_norm=NonParametricLayerNorm)


def build_model(shape: Architecture, config: TransformerConfig) -> OlmoModel:
    """Build this rank's part of the model, its weights undefined. Needs initialised process groups."""
    tensor = config.tensor_model_parallel_size
    model = OlmoModel(
        config,
        _block_spec(config),
        vocab_size=-(-shape.vocab_size // tensor) * tensor,
        max_sequence_length=shape.max_sequence_length,
        position_embedding_type="rope",
        rotary_base=shape.rotary_base,
        share_embeddings_and_output_weights=True,
        pre_process=parallel_state.is_pipeline_first_stage(),
        post_process=parallel_state.is_pipeline_last_stage(),
    )
    for weight in model.parameters():  # all are divided; Megatron says so while it initialises, which it does not here,
        weight.tensor_model_parallel = True  # and without it the gradient's norm leaves out all ranks but the first
    model.vocabulary = shape.vocab_size
    model.rotary_pos_emb = AnyDeviceRotary(
        kv_channels=config.kv_channels, rotary_percent=1.0, rotary_base=shape.rotary_base, use_cpu_initialization=True
    )
    return model


def initial_weight(name: str, size: tuple[int, int], layer: int, seed: int, shape: Architecture) -> Tensor:
    """OLMo's "Mitchell" initialisation of one Hugging Face weight, fp32, [out, in].

    Normal, cut at three standard deviations, with std 1/√hidden for the embedding and for projections from the
    residual stream, and 1/√(2 · in · (layer + 1)) for the two projections back into it (OLMo, `init_weights`,
    InitFnType.mitchell). The draw depends on the seed and the weight's name only, so any parallel layout starts from
    the same model.
    """
    back = name.endswith(("o_proj.weight", "down_proj.weight"))
    std = 1 / math.sqrt(2 * size[1] * (layer + 1)) if back else 1 / math.sqrt(shape.hidden_size)
    # The CPU generator takes 32 bits of a seed and drops the rest, so both go through a hash.
    seed_of_weight = zlib.crc32(f"{seed} {name}".encode())
    generator = torch.Generator().manual_seed(seed_of_weight)
    return nn.init.trunc_normal_(torch.empty(size), 0.0, std, -3 * std, 3 * std, generator=generator)
