"""The Megatron model and its Hugging Face export are one model.

Covers pretrain.model.olmo, pretrain.model.weights, pretrain.model.architecture, pretrain.huggingface.config,
pretrain.huggingface.folder.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as functional

from infra.errors import InputError
from pretrain.huggingface.config import hf_config, read_architecture
from pretrain.huggingface.folder import export, import_weights
from pretrain.model.architecture import Architecture
from pretrain.model.olmo import OlmoModel, build_model, transformer_config
from pretrain.model.weights import gather, initialise, megatron_shapes, merge_qkv, split_qkv, weight_shapes
from pretrain.runtime.distributed import process_groups
from pretrain.spec import ModelSpec, ParallelSpec

TINY = Architecture(4, 64, 8, 8, 256, 200, 64)
SHAPES = {"every head its own key": TINY, "two keys for eight heads": replace(TINY, num_query_groups=2)}


@pytest.fixture(params=SHAPES.values(), ids=SHAPES.keys())
def architecture(request) -> Architecture:
    return request.param


@dataclass(frozen=True)
class Ours:
    """What the Megatron model says about `text`, and its Hugging Face export."""

    text: torch.Tensor
    logits: torch.Tensor
    cross_entropy: torch.Tensor
    gradients: dict[str, torch.Tensor]
    folder: Path


@pytest.fixture
def ours(architecture: Architecture, mixture: Path, tmp_path: Path) -> Ours:
    text = torch.randint(0, 200, (3, 65), generator=torch.Generator().manual_seed(0))
    inputs, targets = text[:, :-1], text[:, 1:].contiguous()
    with process_groups(ParallelSpec(), 0):
        model = new_model(architecture, seed=1)
        positions = torch.arange(64).expand_as(inputs)
        logits = model(inputs, positions, None).detach()
        cross_entropy = model(inputs, positions, None, labels=targets)
        cross_entropy.mean().backward()
        gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
        export(gather(model, architecture), torch.float32, architecture, mixture / "tokenizer", 0, tmp_path / "hf")
    return Ours(text, logits, cross_entropy.detach(), gradients, tmp_path / "hf")


def new_model(architecture: Architecture, seed: int) -> OlmoModel:
    model = build_model(architecture, transformer_config(architecture, ParallelSpec(), torch.float32))
    initialise(model, architecture, seed)
    return model


def transformers_model(folder: Path):
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)


@torch.no_grad()
def test_logits_agree_with_transformers(ours):
    theirs = transformers_model(ours.folder).eval()
    difference = ours.logits - theirs(ours.text[:, :-1]).logits
    assert difference.abs().max().item() <= 1e-5


@torch.no_grad()
def test_training_and_evaluation_see_the_same_cross_entropy(ours):
    """Training shifts its targets itself and transformers shifts `labels`; shifting twice would show here."""
    theirs = transformers_model(ours.folder).eval()
    assert ours.cross_entropy.mean().item() == pytest.approx(theirs(ours.text, labels=ours.text).loss.item(), abs=1e-5)
    logits = theirs(ours.text[:, :-1]).logits
    per_token = functional.cross_entropy(logits.transpose(1, 2), ours.text[:, 1:], reduction="none")
    torch.testing.assert_close(ours.cross_entropy, per_token, atol=2e-5, rtol=0)


def test_gradients_agree_with_transformers(ours, architecture):
    theirs = transformers_model(ours.folder).train()
    theirs(ours.text, labels=ours.text).loss.backward()
    attention = theirs.model.layers[1].self_attn
    merged = merge_qkv(
        attention.q_proj.weight.grad, attention.k_proj.weight.grad, attention.v_proj.weight.grad, architecture
    )
    expected = {
        "decoder.layers.1.self_attention.linear_qkv.weight": merged,
        "decoder.layers.3.mlp.linear_fc2.weight": theirs.model.layers[3].mlp.down_proj.weight.grad,
        "embedding.word_embeddings.weight": theirs.model.embed_tokens.weight.grad,
    }
    for name, gradient in expected.items():
        torch.testing.assert_close(ours.gradients[name], gradient, atol=1e-6, rtol=1e-3)


def test_an_export_can_be_read_back_bit_for_bit(ours, architecture):
    assert read_architecture(ours.folder) == architecture
    with process_groups(ParallelSpec(), 0):
        before, after = new_model(architecture, seed=1), new_model(architecture, seed=2)
        import_weights(after, architecture, ours.folder)
        for name, parameter in after.named_parameters():
            assert torch.equal(parameter, before.get_parameter(name)), name


@torch.no_grad()
def test_a_model_that_transformers_saved_says_the_same_here(architecture, tmp_path):
    from transformers import OlmoConfig, OlmoForCausalLM

    torch.manual_seed(3)
    theirs = OlmoForCausalLM(OlmoConfig(**hf_config(architecture, 0, "float32"))).eval()
    theirs.save_pretrained(tmp_path, max_shard_size="200KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    assert read_architecture(tmp_path) == architecture
    text = torch.randint(0, 200, (2, 64), generator=torch.Generator().manual_seed(1))
    with process_groups(ParallelSpec(), 0):
        ours = new_model(architecture, seed=1)
        import_weights(ours, architecture, tmp_path)
        logits = ours(text, torch.arange(64).expand_as(text), None)
    assert (logits - theirs(text).logits).abs().max().item() <= 1e-5


def test_another_architecture_is_refused(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    with pytest.raises(InputError, match="llama"):
        read_architecture(tmp_path)


def test_the_tokenizer_comes_along(ours):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(ours.folder)
    assert tokenizer.eos_token_id == 0
    assert tokenizer("w5 w6")["input_ids"] == [5, 6]


def test_query_key_value_layout_survives_a_round_trip(architecture):
    width = architecture.head_size
    weights = [
        torch.randn(heads * width, 64) for heads in (8, architecture.num_query_groups, architecture.num_query_groups)
    ]
    for before, after in zip(weights, split_qkv(merge_qkv(*weights, architecture), architecture), strict=True):
        assert torch.equal(before, after)


def test_initial_weights_depend_on_the_seed_and_spread_as_olmo_says(architecture):
    with process_groups(ParallelSpec(), 0):
        states = [dict(gather(new_model(architecture, seed), architecture)) for seed in (1, 1, 2)]
    first, second, other = (state["model.layers.3.mlp.down_proj.weight"] for state in states)
    assert torch.equal(first, second)
    assert not torch.equal(first, other)
    assert first.std().item() == pytest.approx((2 * 256 * 4) ** -0.5, rel=0.05)
    assert states[0]["model.embed_tokens.weight"].std().item() == pytest.approx(64**-0.5, rel=0.05)


def test_olmo_1b_is_the_released_model():
    """Counts and shapes of OlmoForCausalLM with the released configuration, without allocating it."""
    from transformers import OlmoConfig, OlmoForCausalLM
    from transformers.initialization import no_init_weights

    architecture = Architecture.from_spec(ModelSpec(preset="olmo-1b"), tokenizer_size=50280, sequence_length=2048)
    assert architecture.parameters == 1_176_764_416
    with torch.device("meta"), no_init_weights():
        theirs = OlmoForCausalLM(OlmoConfig(**hf_config(architecture, 50279, "float32")))
    theirs.tie_weights()
    assert sum(parameter.numel() for parameter in theirs.parameters()) == 1_176_764_416
    shapes = {name: tuple(parameter.shape) for name, parameter in theirs.named_parameters()}
    assert weight_shapes(architecture) == shapes
    with process_groups(ParallelSpec(), 0), torch.device("meta"):
        ours = build_model(architecture, transformer_config(architecture, ParallelSpec(), torch.float32))
        built = {name: tuple(parameter.shape) for name, parameter in ours.named_parameters()}
    assert sum(parameter.numel() for parameter in ours.parameters()) == 1_176_764_416
    assert built == megatron_shapes(architecture, ranks=1)


def test_presets_take_their_vocabulary_from_the_tokenizer_and_refuse_one_that_is_too_large():
    assert Architecture.from_spec(ModelSpec(preset="olmo-tiny"), 4096, 256).vocab_size == 4096
    assert 1e6 < Architecture.from_spec(ModelSpec(preset="olmo-tiny"), 4096, 256).parameters < 5e6
    with pytest.raises(InputError, match="vocabulary"):
        Architecture.from_spec(ModelSpec(preset="olmo-1b"), 60000, 2048)
    with pytest.raises(InputError, match="context"):
        Architecture.from_spec(ModelSpec(preset="olmo-1b"), 50280, 4096)
