"""ITI as a bias: equal to its hooks on every architecture, and a checkpoint where the architecture can hold one."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

import hormesis
from infra.artifacts.artifact import Artifact, describe_files, now, write_manifest
from infra.artifacts.export import export_artifact
from infra.errors import ConfigError, InputError, UnavailableError
from infra.stages.stage import run_stage
from posttrain.fitted import load_fitted
from posttrain.labelled import Labelled
from posttrain.methods.base import EditedPositions
from posttrain.methods.iti import Iti, bake
from posttrain.methods.options import ItiArgs
from posttrain.model import load_model
from posttrain.spec import PosttrainSpec
from posttrain.stage import POSTTRAIN
from tests.helpers.causal_models import save_model, save_tokenizer

IDS = torch.tensor([[0, 5, 6, 7, 8], [0, 9, 10, 11, 12]])
COMMON = {
    "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 96, "initializer_range": 0.2, "eos_token_id": 0,
    "bos_token_id": None, "pad_token_id": None,
}  # fmt: skip
GPT2 = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 96, "initializer_range": 0.2}
NETWORKS: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "llama": (transformers.LlamaConfig, transformers.LlamaForCausalLM, COMMON),
    "olmo": (transformers.OlmoConfig, transformers.OlmoForCausalLM, COMMON | {"tie_word_embeddings": True}),
    "qwen3": (transformers.Qwen3Config, transformers.Qwen3ForCausalLM, COMMON | {"head_dim": 16}),
    "neox": (transformers.GPTNeoXConfig, transformers.GPTNeoXForCausalLM, COMMON),
    "gpt2": (transformers.GPT2Config, transformers.GPT2LMHeadModel, GPT2),
    "qwen2": (transformers.Qwen2Config, transformers.Qwen2ForCausalLM, COMMON),
    "mistral": (transformers.MistralConfig, transformers.MistralForCausalLM, COMMON | {"sliding_window": None}),
}


def saved(folder: Path, architecture: str) -> Path:
    torch.manual_seed(0)
    config, network, sizes = NETWORKS[architecture]
    made = network(config(vocab_size=save_tokenizer(folder), **sizes))
    for name, parameter in made.named_parameters():  # biases that are there already must stay
        if name.endswith("bias"):
            torch.nn.init.normal_(parameter, std=0.1)
    made.save_pretrained(folder)
    return folder


def steer(folder: Path, model: Path, mixture: Path, method: Any) -> Artifact:
    labelled = {"mixture": str(mixture), "per_class": 30}
    spec = PosttrainSpec(name="x", model=str(model), method=method, labelled=labelled)
    return run_stage(POSTTRAIN, spec, folder, quiet=True)


def export(artifact: Artifact, out: Path, *settings: str) -> Path:
    return export_artifact(artifact, POSTTRAIN.exports, "hf", out, ["strength=3", *settings])


def hooked(model: Path, steering: Path) -> torch.Tensor:
    """Logits with the edit at all positions."""
    loaded = load_model(str(model), "cpu")
    with torch.inference_mode(), Iti(loaded, load_fitted(steering), 3.0).editing(EditedPositions(everywhere=True)):
        return loaded.network(input_ids=IDS).logits


@pytest.mark.parametrize("architecture", NETWORKS)
def test_bias_equals_hooks(architecture: str, tmp_path: Path, labelled: Labelled) -> None:
    model = load_model(str(saved(tmp_path, architecture)), "cpu")
    iti = Iti(model, Iti.fit(model, labelled, ItiArgs(top_heads=4), 0), 3.0)
    with torch.inference_mode():
        plain = model.network(input_ids=IDS).logits
        with iti.editing(EditedPositions(everywhere=True)):
            expected = model.network(input_ids=IDS).logits
        bake(iti)
        torch.testing.assert_close(model.network(input_ids=IDS).logits, expected, atol=2e-4, rtol=1e-4)
    assert not torch.allclose(plain, expected, atol=1e-2)


@pytest.mark.parametrize("architecture", ["llama", "olmo", "qwen3", "neox", "gpt2"])
def test_checkpoint_loads_anywhere_and_equals_hooks(architecture: str, tmp_path: Path, mixture: Path) -> None:
    model = saved(tmp_path / "model", architecture)
    artifact = steer(tmp_path / "steer", model, mixture, {"name": "iti", "top_heads": 4, "positions": "all"})
    folder = export(artifact, tmp_path / "baked", f"model={model}")
    network, information = transformers.AutoModelForCausalLM.from_pretrained(folder, output_loading_info=True)
    assert not information["missing_keys"] and not information["unexpected_keys"]
    with torch.inference_mode():
        torch.testing.assert_close(network(input_ids=IDS).logits, hooked(model, artifact.path), atol=2e-4, rtol=1e-4)
    if architecture in ("llama", "olmo", "qwen3"):
        assert network.config.attention_bias is True
        attention = network.model.layers[0].self_attn
        assert all(not getattr(attention, name).bias.any() for name in ("q_proj", "k_proj", "v_proj"))
        assert any(layer.self_attn.o_proj.bias.any() for layer in network.model.layers)
    ids = [transformers.AutoTokenizer.from_pretrained(path)("the garden")["input_ids"] for path in (folder, model)]
    assert ids[0] == ids[1]


@pytest.mark.parametrize("architecture", ["qwen2", "mistral"])
def test_an_architecture_that_holds_no_such_bias_is_refused_by_name(
    architecture: str, tmp_path: Path, mixture: Path
) -> None:
    model = saved(tmp_path / "model", architecture)
    artifact = steer(tmp_path / "steer", model, mixture, "iti")
    with pytest.raises(UnavailableError, match=rf"(?i){architecture}ForCausalLM: its configuration cannot say"):
        export(artifact, tmp_path / "baked", f"model={model}")
    assert not (tmp_path / "baked").exists()


def test_checkpoint_has_the_precision_of_the_model(tmp_path: Path, mixture: Path) -> None:
    model = saved(tmp_path / "model", "llama")
    transformers.AutoModelForCausalLM.from_pretrained(model, dtype=torch.bfloat16).save_pretrained(model)
    artifact = steer(tmp_path / "steer", model, mixture, "iti")
    network = transformers.AutoModelForCausalLM.from_pretrained(export(artifact, tmp_path / "b", f"model={model}"))
    assert network.dtype == torch.bfloat16
    with torch.inference_mode():
        logits = network.float()(input_ids=IDS).logits
    torch.testing.assert_close(logits, hooked(model, artifact.path), atol=0.1, rtol=0.05)


def test_a_trained_model_beside_the_steering_is_found_and_another_refused(
    tmp_path: Path, mixture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = tmp_path / "runs" / "trained"
    saved(trained / "hf", "llama")
    about = {"kind": "pretrain", "version": 1, "fingerprint": "e" * 64, "started": now()}
    write_manifest(trained, describe_files(trained), config={}, inputs={}, counts={}, notes=[], **about)
    artifact = steer(tmp_path / "runs" / "steer", trained, mixture, "iti")
    command = ["hormesis", "export", artifact.path, "--to", "hf", "--strength", 3, "--out", tmp_path / "baked"]
    monkeypatch.setattr(sys, "argv", [*map(str, command)])
    with pytest.raises(SystemExit, match="0"):
        hormesis.main()
    assert (tmp_path / "baked" / "model.safetensors").exists()
    other = save_model(tmp_path / "other", "llama")
    with pytest.raises(InputError, match=r"is not the model that .* was fitted on"):
        export(artifact, tmp_path / "second", f"model={other}")
    elsewhere = steer(tmp_path / "elsewhere" / "steer", other, mixture, "iti")
    with pytest.raises(InputError, match=r"is not beside it; give it: --set model=FOLDER"):
        export(elsewhere, tmp_path / "third")


def test_only_iti_is_baked_and_only_at_a_strength(model_folder: Path, mixture: Path, tmp_path: Path) -> None:
    artifact = steer(tmp_path / "steer", model_folder, mixture, "sasa")
    with pytest.raises(InputError, match="only iti is an edit that a bias can carry, and this is sasa"):
        export(artifact, tmp_path / "baked", f"model={model_folder}")
    with pytest.raises(ConfigError, match="strength"):
        export_artifact(artifact, POSTTRAIN.exports, "hf", tmp_path / "baked")
