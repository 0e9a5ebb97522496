"""Models that are not what their files say, or that cannot be steered, are refused in one sentence.

Covers posttrain.loading.adapter, posttrain.loading.trial and posttrain.loading.weights.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from infra.errors import InputError, UnavailableError, UserError
from posttrain.fitted import Fitted, load_fitted, save_fitted
from posttrain.labelled import Labelled
from posttrain.methods.iti import Iti
from posttrain.methods.options import ItiArgs
from posttrain.model import CausalModel, load_model
from posttrain.recipe import RecipeEntry
from posttrain.steered import load_steered
from pretrain.huggingface.location import fingerprint
from tests.helpers import zoo

WEIGHTS = "model.safetensors"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return zoo.save("llama-gqa", tmp_path_factory.mktemp("whole"))


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "model"))


def edit(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    tensors = load_file(folder / WEIGHTS)
    change(tensors)
    save_file(tensors, folder / WEIGHTS, {"format": "pt"})


def configure(folder: Path, name: str = "config.json", **keys: Any) -> None:
    file = folder / name
    file.write_text(json.dumps(json.loads(file.read_text()) | keys))


def refusal(folder: Path, kind: type[UserError] = InputError) -> str:
    with pytest.raises(UserError) as raised:
        load_model(str(folder), "cpu")
    message = str(raised.value)
    assert type(raised.value) is kind and "\n" not in message and message.count(". ") == 0, message
    return message


@pytest.mark.parametrize("name", ["lm_head.weight", "model.layers.1.mlp.up_proj.weight"])
def test_missing_weights(folder: Path, name: str) -> None:
    edit(folder, lambda tensors: tensors.pop(name))
    assert refusal(folder).endswith(f"the weight files lack {name}")


def test_a_missing_layer_is_named_by_its_first_weights(folder: Path) -> None:
    configure(folder, num_hidden_layers=3)
    assert "lack model.layers.2." in refusal(folder) and "and 6 more" in refusal(folder)


def test_weights_that_no_layer_has(folder: Path) -> None:
    configure(folder, num_hidden_layers=1)
    assert "hold, beside the model, model.layers.1." in refusal(folder)


def test_tied_heads_and_old_rotary_buffers_are_not_missed(tmp_path: Path) -> None:
    folder = zoo.save("llama-tied", tmp_path)
    assert "lm_head.weight" not in load_file(folder / WEIGHTS)
    edit(folder, lambda tensors: tensors.update({"model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(4)}))
    load_model(str(folder), "cpu")


def test_weights_of_another_shape(folder: Path) -> None:
    configure(folder, intermediate_size=48)
    assert "mlp.down_proj.weight is [32, 64] in the files, and [32, 48] by the configuration" in refusal(folder)


@pytest.mark.parametrize("left", [0.5, 0.0, 0.001])
def test_truncated_weights(folder: Path, left: float) -> None:
    content = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(content[: int(len(content) * left)])
    assert "a safetensors file is damaged or cut off" in refusal(folder)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_named(folder: Path, value: float) -> None:
    edit(folder, lambda tensors: tensors["model.layers.1.self_attn.q_proj.weight"][3].fill_(value))
    assert refusal(folder).endswith("not finite (NaN or infinity): model.layers.1.self_attn.q_proj.weight")


@pytest.mark.parametrize("scheme", ["gptq", "awq", "fp8", "bitsandbytes"])
def test_quantised_weights(folder: Path, scheme: str) -> None:
    configure(folder, quantization_config={"quant_method": scheme, "bits": 4, "group_size": 32})
    assert f"the weights are quantised ({scheme})" in refusal(folder)


def test_a_tokenizer_larger_than_the_embedding(tmp_path: Path) -> None:
    folder = zoo.save("llama-gqa", tmp_path, vocab_size=300)
    assert "the tokenizer has" in refusal(folder) and "the embedding 300" in refusal(folder)


def test_code_that_a_folder_brings_along_is_never_run(folder: Path) -> None:
    code = "open('was_run', 'w')\nclass C: pass\n"
    (folder / "modeling_own.py").write_text(code)
    configure(
        folder, model_type="own", auto_map={"AutoConfig": "modeling_own.C", "AutoModelForCausalLM": "modeling_own.C"}
    )
    assert "code that it brings along (auto_map), which is never run" in refusal(folder, UnavailableError)
    assert not Path("was_run").exists()


def test_encoders(tmp_path: Path) -> None:
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    zoo.save("llama-gqa", tmp_path)
    config = transformers.BertConfig(vocab_size=400, eos_token_id=0, initializer_range=0.2, **sizes)
    transformers.BertLMHeadModel(config).save_pretrained(tmp_path)
    assert "looks at what comes after a token: an encoder" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (transformers.T5Config(), "an encoder-decoder (t5)"),
        (transformers.BartConfig(), "an encoder-decoder (bart)"),
        (transformers.Gemma3Config(), "a multimodal model (gemma3)"),
    ],
)
def test_encoder_decoders_and_multimodal_models(
    config: transformers.PretrainedConfig, message: str, tmp_path: Path
) -> None:
    config.save_pretrained(tmp_path)
    assert message in refusal(tmp_path)


@pytest.mark.parametrize(
    ("config", "layers"),
    [
        (transformers.Qwen3NextConfig(num_hidden_layers=4), "linear_attention"),
        (transformers.GPTNeoConfig(), "local_attention"),
        (transformers.JambaConfig(), "linear_attention, mamba"),
    ],
)
def test_layers_that_are_not_attention_are_refused_by_name(
    config: transformers.PretrainedConfig, layers: str, tmp_path: Path
) -> None:
    config.save_pretrained(tmp_path)
    assert f"layers of {layers} are not supported" in refusal(tmp_path, UnavailableError)


def test_positions_that_are_counted_in_the_cache_are_refused(tmp_path: Path) -> None:
    """MPT's ALiBi: candidates that stand beside one another would be at unlike distances from the text."""
    zoo.save("llama-gqa", tmp_path)
    config = transformers.MptConfig(vocab_size=400, d_model=32, n_heads=4, n_layers=2, initializer_range=0.2)
    transformers.MptForCausalLM(config).save_pretrained(tmp_path)
    assert "decoding here gives other logits than the network itself" in refusal(tmp_path, UnavailableError)


def lora(folder: Path, target: Path, base: Path | str) -> Path:
    """A LoRA adapter whose weights are not zero, with its model named as peft does."""
    peft = pytest.importorskip("peft")
    network = transformers.AutoModelForCausalLM.from_pretrained(folder)
    network.name_or_path = network.config._name_or_path = str(base)
    wrapped = peft.get_peft_model(network, peft.LoraConfig(r=2, target_modules=["q_proj"], task_type="CAUSAL_LM"))
    for name, parameter in wrapped.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.5)
    wrapped.save_pretrained(target)
    return target


@torch.inference_mode()
def test_an_adapter_is_merged_whether_its_model_is_beside_it_or_elsewhere(
    whole: Path, folder: Path, tmp_path: Path
) -> None:
    import peft

    alone = lora(whole, tmp_path / "alone", whole)
    for file in alone.glob("adapter_*"):
        shutil.copy(file, folder)
    ids = torch.tensor([[0, 5, 9]])
    plain, one, two = (load_model(str(path), "cpu") for path in (whole, alone, folder))
    network = transformers.AutoModelForCausalLM.from_pretrained(whole)
    theirs = peft.PeftModel.from_pretrained(network, str(alone))(input_ids=ids).logits
    torch.testing.assert_close(one.network(input_ids=ids).logits, theirs, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(two.network(input_ids=ids).logits, theirs, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(plain.network(input_ids=ids).logits, theirs, atol=1e-2)
    assert len({plain.fingerprint, one.fingerprint, two.fingerprint}) == 3
    assert not [name for name, _ in one.network.named_parameters() if "lora" in name]


def test_the_fingerprint_of_an_adapter_covers_its_base_model(whole: Path, folder: Path, tmp_path: Path) -> None:
    adapter = lora(whole, tmp_path / "adapter", folder)
    before = fingerprint(str(adapter))
    edit(folder, lambda tensors: tensors["lm_head.weight"].mul_(2))
    assert fingerprint(str(adapter)) != before


def test_adapters_that_lack_something(whole: Path, tmp_path: Path) -> None:
    adapter = lora(whole, tmp_path / "adapter", whole)
    weights = adapter / "adapter_model.safetensors"
    tensors = load_file(weights)
    some = dict(list(tensors.items())[1:])
    save_file(some, weights)
    assert "lacks base_model.model." in refusal(adapter)
    save_file({**tensors, "base_model.model.lm_head.lora_A.weight": torch.ones(2, 32)}, weights)
    assert "which fits nothing in the model" in refusal(adapter)
    weights.unlink()
    assert "an adapter without adapter_model.safetensors" in refusal(adapter)
    configure(adapter, "adapter_config.json", base_model_name_or_path=None)
    assert "names no base model" in refusal(adapter)


def test_an_adapter_without_peft(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    adapter = lora(whole, tmp_path / "adapter", whole)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert "pip install 'hormesis[tune]'" in refusal(adapter, UnavailableError)


def test_a_steering_of_another_model_is_refused_unless_it_is_meant(
    gqa_model: CausalModel, labelled: Labelled, whole: Path, folder: Path, tmp_path: Path
) -> None:
    one = load_model(str(whole), "cpu")
    fitted = Iti.fit(one, labelled, ItiArgs(), 0)
    save_fitted(tmp_path / "steer", fitted)
    recipe = (RecipeEntry(steering=str(tmp_path / "steer"), strength=1.0),)
    edit(folder, lambda tensors: tensors["lm_head.weight"].mul_(2))
    with pytest.raises(InputError, match=r"fitted on another model .* `transfer`"):
        load_steered(str(folder), recipe, "cpu")
    assert load_steered(str(folder), recipe, "cpu", transfer=True).stack.methods
    load_steered(str(whole), recipe, "cpu")
    other = load_model(str(zoo.save("llama-gqa", tmp_path / "deep", num_hidden_layers=3)), "cpu")
    with pytest.raises(InputError, match="3 layers"):
        load_steered(other, recipe, "cpu", transfer=True)
    assert isinstance(load_fitted(tmp_path / "steer"), Fitted)
