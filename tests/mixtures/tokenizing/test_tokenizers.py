"""Tokenizers: trained, from a file, and those that cannot be used.

Covers mixtures.tokenizing.tokenizer, mixtures.hub and mixtures.store.stages.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from infra.artifacts.fingerprint import digest_file
from infra.errors import InputError, UnavailableError
from mixtures.reading.built import BuiltMixture
from mixtures.spec.mixture import TokenizerSpec, TokenizerStageSpec
from mixtures.tokenizing.tokenizer import make
from tests.helpers.tagged_corpora import SENTENCE, build, mixture_spec

TRAIN = """
import sys
from pathlib import Path
from mixtures.spec.mixture import TokenizerStageSpec
from mixtures.tokenizing.tokenizer import make
make(TokenizerStageSpec.model_validate_json(sys.argv[1]), Path(sys.argv[2]))
"""


def tokenizer_json(folder: Path, special: list[str]) -> Path:
    """A small tokenizer.json with these special tokens."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator([SENTENCE], trainer=trainer)
    tokenizer.save(str(folder / "given.json"))
    return folder / "given.json"


def made(folder: Path, **source: object) -> int:
    """EOS id of the tokenizer made from `source`."""
    return make(TokenizerStageSpec(source=TokenizerSpec.model_validate(source)), folder / "out").eos_id


def test_training_gives_the_same_bytes_in_every_process(mixture: BuiltMixture, curation: Path, tmp_path: Path) -> None:
    from mixtures.spec.mixture import tokenizer_stage_spec

    spec = tokenizer_stage_spec(mixture_spec(curation)).model_dump_json()
    for name in ("a", "b"):
        subprocess.run([sys.executable, "-c", TRAIN, spec, str(tmp_path / name)], check=True)
    hashes = {digest_file(folder / "tokenizer.json") for folder in (tmp_path / "a", tmp_path / "b", mixture.tokenizer)}
    assert len(hashes) == 1


def test_a_given_tokenizer_is_used_as_it_is(curation: Path, tmp_path: Path) -> None:
    path = tokenizer_json(tmp_path, ["</s>"])
    built = build(mixture_spec(curation, tokenizer={"file": str(path)}), tmp_path / "m")
    assert built.facts.eos == built.facts.pad == "</s>" and built.facts.removed_id is None
    assert built.component("clean").open()[0].document(0)[-1] == built.facts.eos_id


def test_a_tokenizer_without_end_of_text_is_refused(tmp_path: Path) -> None:
    path = tokenizer_json(tmp_path, ["<start>", "<stop>"])
    with pytest.raises(InputError, match=r"set tokenizer.eos \(special tokens: <start>, <stop>\)"):
        made(tmp_path, file=str(path))
    assert made(tmp_path, file=str(path), eos="<stop>") == 1
    with pytest.raises(InputError, match=r"not in the vocabulary; did you mean .<stop>"):
        made(tmp_path, file=str(path), eos="<stp>")


def test_the_configuration_beside_a_tokenizer_names_its_end_of_text(tmp_path: Path) -> None:
    path = tokenizer_json(tmp_path, ["<start>", "<stop>"])
    path.with_name("tokenizer_config.json").write_text('{"eos_token": {"content": "<stop>"}}')
    assert made(tmp_path, file=str(path)) == 1


def test_what_is_no_tokenizer_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text("{}")
    with pytest.raises(InputError, match=r"bad.json: not a tokenizer.json"):
        made(tmp_path, file=str(tmp_path / "bad.json"))
    with pytest.raises(InputError, match="no such file"):
        made(tmp_path, file=str(tmp_path / "missing.json"))


def test_a_hub_that_cannot_be_reached_is_one_clear_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(UnavailableError, match=r"tokenizer.hub: no-such-org/no-such-model cannot be had"):
        made(tmp_path, hub="no-such-org/no-such-model")


def test_a_tokenizer_of_the_hub_is_read_at_the_commit_of_its_fingerprint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mixtures import hub
    from mixtures.store.stages import TOKENIZER

    commits, asked = iter(["a" * 40, "b" * 40]), []

    class Api:
        def model_info(self, name: str, revision: str, timeout: float) -> object:
            return type("Info", (), {"sha": next(commits)})

    def load(name: str, revision: str, **options: object) -> PreTrainedTokenizerFast:
        asked.append(revision)
        return PreTrainedTokenizerFast(tokenizer_file=str(tokenizer_json(tmp_path, ["</s>"])), eos_token="</s>")

    monkeypatch.setattr("huggingface_hub.HfApi", Api)
    monkeypatch.setattr("transformers.AutoTokenizer.from_pretrained", load)
    spec = TokenizerStageSpec(source=TokenizerSpec(hub="org/moving"))
    hub._commit.cache_clear()
    first = TOKENIZER.identity(spec).config
    made(tmp_path, hub="org/moving")
    hub._commit.cache_clear()  # another command, when the branch has moved
    assert first["revision"] == "a" * 40 == asked[0] and TOKENIZER.identity(spec).config["revision"] == "b" * 40
    hub._commit.cache_clear()


@pytest.mark.parametrize("text", ["{not json", "[1]", '{"eos_token": 5}', "\ufeff\udcff", "[" * 100_000])
def test_a_configuration_that_cannot_be_used_is_one_sentence(tmp_path: Path, text: str) -> None:
    path = tokenizer_json(tmp_path, ["</s>"])
    path.with_name("tokenizer_config.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(InputError, match=r"tokenizer_config\.json"):
        made(tmp_path, file=str(path))


def test_a_declared_end_of_text_that_the_vocabulary_lacks_is_refused_and_not_replaced(tmp_path: Path) -> None:
    path = tokenizer_json(tmp_path, ["</s>"])
    path.with_name("tokenizer_config.json").write_text('{"eos_token": "<|im_end|>"}')
    with pytest.raises(InputError, match=r"end-of-text token is '<\|im_end\|>', which is not in its vocabulary"):
        made(tmp_path, file=str(path))
    assert made(tmp_path, file=str(path), eos="</s>") == 0


def test_a_declared_padding_that_the_vocabulary_lacks_is_refused_and_not_replaced(tmp_path: Path) -> None:
    path = tokenizer_json(tmp_path, ["</s>", "<pad>"])
    path.with_name("tokenizer_config.json").write_text('{"eos_token": "</s>", "pad_token": {"content": "[PAD]"}}')
    with pytest.raises(InputError, match=r"padding token is '\[PAD\]', which is not in its vocabulary"):
        made(tmp_path, file=str(path))
    path.with_name("tokenizer_config.json").write_text('{"eos_token": "</s>", "pad_token": null}')
    assert made(tmp_path, file=str(path)) == 0


def test_auto_tokenizer_adds_no_token_that_training_documents_lack(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    path = tokenizer_json(tmp_path, ["<bos>", "</s>"])
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.post_processor = processors.TemplateProcessing(single="<bos> $A", special_tokens=[("<bos>", 0)])
    tokenizer.save(str(path))
    path.with_name("tokenizer_config.json").write_text('{"bos_token": "<bos>", "eos_token": "</s>"}')
    made(tmp_path, file=str(path))
    ids = AutoTokenizer.from_pretrained(tmp_path / "out")("the river")["input_ids"]
    assert ids == tokenizer.encode("the river", add_special_tokens=False).ids and 0 not in ids
