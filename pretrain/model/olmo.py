"""OLMo-1 in Megatron-core: GPTModel with non-parametric LayerNorm, SwiGLU, rotary positions, no biases, tied
embeddings.

Only the public layer-spec interface is used; nothing is patched for it, so the model also runs without `cpu_as_cuda`.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as functional
from megatron.core import parallel_state
from megatron.core.fusions.fused_bias_dropout import get_bias_dropout_add
from megatron.core.models.common.embeddings.rotary_pos_embedding import RotaryEmbedding
from megatron.core.models.gpt import GPTModel
from megatron.core.transformer import TransformerConfig
from megatron.core.transformer.attention import SelfAttention, SelfAttentionSubmodules
from megatron.core.transformer.enums import AttnMaskType
from megatron.core.transformer.identity_op import IdentityOp
from megatron.core.transformer.mlp import MLPSubmodules
from megatron.core.transformer.spec_utils import ModuleSpec
from megatron.core.transformer.transformer_block import TransformerBlockSubmodules, get_num_layers_to_build
from megatron.core.transformer.transformer_layer import TransformerLayer, TransformerLayerSubmodules
from torch import Tensor, nn

from pretrain.model.architecture import LAYER_NORM_EPSILON, Architecture
from pretrain.model.chunked_head import cross_entropy_of
from pretrain.model.layers import NonParametricLayerNorm, SwigluMlp, layer_modules
from pretrain.spec import Implementation, LogitsMemory, ParallelSpec


class AnyDeviceRotary(RotaryEmbedding):
    """Rotary positions on the model's device, whichever it is; the parent knows CUDA only."""

    inv_freq: Tensor

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> AnyDeviceRotary:
        """Follow the model to another device, but never to another precision: positions past 256 are no bf16 numbers.

        The parent keeps its frequencies as a plain attribute, which `Module.to` passes over.
        """
        super()._apply(fn, recurse)
        self.inv_freq = self.inv_freq.to(fn(self.inv_freq).device)
        return self

    def get_emb(self, max_seq_len: int, offset: int = 0) -> Tensor:
        """Angles by position, [positions, 1, 1, head width]; the parent would take them to the current CUDA device."""
        angles = self.get_freqs_non_repeated(max_seq_len, offset)
        return torch.cat((angles, angles), dim=-1)[:, None, None, :]


class OlmoModel(GPTModel):
    """GPTModel whose head and per-token cross-entropy are computed together.

    A vocabulary that the tensor ranks do not divide is padded; `unpadded_vocab_size` is its size without
    the padding.
    """

    unpadded_vocab_size: int
    logits: LogitsMemory
    compiled: bool = False

    def _postprocess(self, *, hidden_states: Tensor, labels: Tensor | None, **rest: Any) -> Tensor:
        """Hidden states before the last pipeline stage; there cross-entropies, or logits where there are no labels."""
        if not self.post_process or labels is None:
            logits: Tensor = super()._postprocess(hidden_states=hidden_states, labels=labels, **rest)
            return logits
        weight = self.shared_embedding_or_output_weight()
        return cross_entropy_of(
            hidden_states,
            weight,
            labels,
            self.unpadded_vocab_size,
            self.logits,
            sequence_parallel=self.config.sequence_parallel,
            compiled=self.compiled,
        )

    def compile_kernels(self) -> None:
        """Let norms, rotary positions, SwiGLU, residuals and the passes over the logits be compiled at their first use,
        and all layers share what is compiled.

        Matrix products and attention stay the libraries', and the order of sums inside a fused kernel is the compiler's
        own.
        """
        self.compiled = True
        for layer in self.decoder.layers:
            layer.compile()


def transformer_config(
    architecture: Architecture,
    parallel: ParallelSpec,
    dtype: torch.dtype,
    *,
    recompute: bool = False,
    repeatable: bool = False,
) -> TransformerConfig:
    """Megatron's configuration of an architecture; fused kernels that need Apex or Transformer Engine stay off."""
    return TransformerConfig(
        num_layers=architecture.num_layers,
        hidden_size=architecture.hidden_size,
        num_attention_heads=architecture.num_attention_heads,
        num_query_groups=architecture.num_query_groups,
        ffn_hidden_size=architecture.ffn_hidden_size,
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
        calculate_per_token_loss=True,  # the loss is summed; `finalize_gradients` divides it once, over all ranks
        # Weights are drawn by their names (`initial_weight`), so that every layout begins with the same model.
        use_cpu_initialization=True,
        perform_initialization=False,
        persist_layer_norm=False,
        bias_activation_fusion=False,
        bias_dropout_fusion=False,
        masked_softmax_fusion=False,
        gradient_accumulation_fusion=False,
        apply_rope_fusion=False,
    )


def _block_spec(config: TransformerConfig, implementation: Implementation, float8: bool) -> TransformerBlockSubmodules:
    modules = layer_modules(implementation, config, float8=float8)
    attention = ModuleSpec(
        module=SelfAttention,
        params={"attn_mask_type": AttnMaskType.causal},
        submodules=SelfAttentionSubmodules(
            linear_qkv=modules.column,
            core_attention=modules.attention,
            linear_proj=modules.row,
            q_layernorm=IdentityOp,
            k_layernorm=IdentityOp,
        ),
    )
    mlp = MLPSubmodules(linear_fc1=modules.column, linear_fc2=modules.row)
    layer = TransformerLayerSubmodules(
        input_layernorm=NonParametricLayerNorm,
        self_attention=attention,
        self_attn_bda=get_bias_dropout_add,
        pre_mlp_layernorm=NonParametricLayerNorm,
        mlp=ModuleSpec(module=SwigluMlp, submodules=mlp),
        mlp_bda=get_bias_dropout_add,
    )
    specs = [ModuleSpec(module=TransformerLayer, submodules=layer)] * get_num_layers_to_build(config)
    return TransformerBlockSubmodules(layer_specs=specs, layer_norm=NonParametricLayerNorm)


def build_model(
    architecture: Architecture,
    config: TransformerConfig,
    logits: LogitsMemory = "auto",
    implementation: Implementation = "local",
    *,
    float8: bool = False,
) -> OlmoModel:
    """Build this rank's part of the model, its weights undefined, `float8` with its layers' products in fp8. Needs
    initialised process groups.

    Raises ConfigError where the implementation, or fp8, cannot be had.
    """
    tensor = config.tensor_model_parallel_size
    model = OlmoModel(
        config,
        _block_spec(config, implementation, float8),
        vocab_size=-(-architecture.vocab_size // tensor) * tensor,
        max_sequence_length=architecture.max_sequence_length,
        position_embedding_type="rope",
        rotary_base=architecture.rotary_base,
        share_embeddings_and_output_weights=True,
        pre_process=parallel_state.is_pipeline_first_stage(),
        post_process=parallel_state.is_pipeline_last_stage(),
    )
    for weight in model.parameters():
        # All are divided. Megatron marks them while it initialises weights, which is not done by it here; without the
        # mark the gradient's norm leaves out all tensor ranks but the first.
        weight.tensor_model_parallel = True
    model.unpadded_vocab_size, model.logits = architecture.vocab_size, logits
    model.rotary_pos_emb = AnyDeviceRotary(
        kv_channels=config.kv_channels,
        rotary_percent=1.0,
        rotary_base=architecture.rotary_base,
        use_cpu_initialization=True,
    )
    return model


def initial_weight(name: str, size: tuple[int, int], layer: int, seed: int, architecture: Architecture) -> Tensor:
    """OLMo's "Mitchell" initialisation of one Hugging Face weight, fp32, [out, in].

    Normal, cut at three standard deviations, with std 1/√hidden for the embedding and for projections from the
    residual stream, and 1/√(2 · in · (layer + 1)) for the two projections back into it (OLMo, `init_weights`,
    InitFnType.mitchell). The draw depends on the seed and the weight's name only, so any parallel layout starts from
    the same model.
    """
    back = name.endswith(("o_proj.weight", "down_proj.weight"))
    std = 1 / math.sqrt(2 * size[1] * (layer + 1)) if back else 1 / math.sqrt(architecture.hidden_size)
    # The CPU generator takes 32 bits of a seed and drops the rest, so both go through a hash.
    seed_of_weight = zlib.crc32(f"{seed} {name}".encode())
    generator = torch.Generator().manual_seed(seed_of_weight)
    return nn.init.trunc_normal_(torch.empty(size), 0.0, std, -3 * std, 3 * std, generator=generator)
