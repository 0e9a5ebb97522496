"""Prefixes of training and guidance between them; what a mixture says of its prefixes is read from beside the model.

Covers posttrain.methods.trained_prefixes.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from infra.artifacts.artifact import describe_files, fingerprint_of, now, write_manifest
from infra.errors import InputError
from infra.stages.stage import run_stage
from posttrain.decoding.sampling import Sampling
from posttrain.fitted import load_fitted
from posttrain.methods.conditioned import Conditioned, control_tokens
from posttrain.methods.options import ConditionedArgs, PromptArgs
from posttrain.methods.prompt import Prompt
from posttrain.methods.trained_prefixes import trained_prefix
from posttrain.model import CausalModel
from posttrain.spec import PosttrainSpec
from posttrain.stage import POSTTRAIN
from posttrain.steered import Steered, bind
from tests.helpers.brute_force import nats, tokens_of, written
from tests.helpers.token_mixtures import write_mixture

GOOD, BAD = "thank you for the ", "shut up you "
INST = [{"where": "toxicity >= 0.5", "text": BAD}, {"text": GOOD}]
MEDA = "toxicity: {toxicity:.1f}\n"
PROMPTS, DOCUMENTS = ["the garden", "you", "after lunch we walked"], ["thank you for the book", "shut up you fool"]
AGAINST = {"against": "bad", "bad": BAD}
SAMPLING = Sampling(max_new_tokens=6, samples=2, seed=3)


def conditioned(model: CausalModel, strength: float, **args: Any) -> Steered:
    return bind(model, Conditioned.fit(model, None, ConditionedArgs(**{"good": GOOD, **args}), 0), strength)


def trained_on(folder: Path, hf: Path, prefixes: Any, name: str = "mixture", **changes: Any) -> Path:
    """A pretrain artifact and, beside it, its mixture."""
    section = None if prefixes is None else {"prefixes": prefixes, **changes}
    mixture = write_mixture(folder / name, {"a": ([[3, 4]], [[1, 1]])}, {}, conditioning=section)
    shutil.copytree(hf, folder / "model" / "hf")
    inputs = {"mixture": fingerprint_of(mixture, "mixture")}
    artifact(folder / "model", "pretrain", inputs)
    return folder / "model"


def artifact(folder: Path, kind: str, inputs: dict[str, str], fingerprint: str = "e" * 64) -> None:
    about = {"kind": kind, "version": 1, "fingerprint": fingerprint, "started": now(), "notes": []}
    write_manifest(folder, describe_files(folder), config={}, inputs=inputs, counts={}, **about)


@pytest.mark.parametrize(
    ("strength", "args"),
    [
        (1.0, {}),
        (0.5, {}),
        (2.5, {}),
        (1.5, {"against": "bad", "bad": BAD}),
        (2.0, {"good": "", "against": "bad", "bad": BAD}),
    ],
)
def test_guided_texts_and_their_cross_entropy_are_those_of_the_formula(
    model: CausalModel, strength: float, args: dict[str, Any]
) -> None:
    steered = conditioned(model, strength, **args)
    assert tokens_of(steered.generate(PROMPTS, SAMPLING)) == written(steered.stack, PROMPTS, SAMPLING)
    expected = [nats(steered.stack, document) for document in DOCUMENTS]
    assert steered.cross_entropy(DOCUMENTS).nats.tolist() == pytest.approx(expected, rel=1e-5)


def test_strength_1_is_the_prefix_itself_in_one_pass(model: CausalModel) -> None:
    good = conditioned(model, 1.0)
    assert not good.stack.streams and good.stack.prefix == control_tokens(model, GOOD)
    nearly = conditioned(model, 1.0 + 1e-7)
    assert len(nearly.stack.streams) == 1
    assert nearly.generate(PROMPTS, SAMPLING) == good.generate(PROMPTS, SAMPLING)
    prompted = bind(model, Prompt.fit(model, None, PromptArgs(text=GOOD), 0), 1.0)
    assert prompted.generate(PROMPTS, SAMPLING) == good.generate(PROMPTS, SAMPLING)


def test_the_bad_prefix_is_what_is_moved_away_from(model: CausalModel) -> None:
    """log-odds of a token move by strength times the difference of its log-odds behind the prefixes."""
    towards = conditioned(model, 2.0, **AGAINST).cross_entropy(DOCUMENTS).nats
    away = conditioned(model, 2.0, good=BAD, against="bad", bad=GOOD).cross_entropy(DOCUMENTS).nats
    plain = bind(model, None, 0).cross_entropy(DOCUMENTS).nats
    assert not np.allclose(towards, plain, rtol=1e-3) and not np.allclose(towards, away, rtol=1e-3)


@pytest.mark.parametrize(
    ("prefixes", "good", "bad"),
    [(INST, GOOD, BAD), (MEDA, "toxicity: 0.0\n", "toxicity: 1.0\n"), ([INST[0]], "", BAD)],
)
def test_prefixes_are_those_of_the_mixture_beside_the_model(
    prefixes: Any, good: str, bad: str, model_folder: Path, tmp_path: Path
) -> None:
    model = trained_on(tmp_path, model_folder, prefixes)
    spec = PosttrainSpec(name="x", model=str(model), method={"name": "conditioned", "against": "bad"})
    fitted = load_fitted(run_stage(POSTTRAIN, spec, tmp_path / "steering", quiet=True).path)
    assert isinstance(fitted.args, ConditionedArgs)
    assert (fitted.args.good, fitted.args.bad) == (good, bad)


def test_a_tuned_models_prefixes_are_those_of_its_pretraining(model_folder: Path, tmp_path: Path) -> None:
    trained_on(tmp_path, model_folder, INST)
    (tmp_path / "tuned").mkdir()
    artifact(tmp_path / "tuned", "tune", {"model": "e" * 64}, "d" * 64)
    assert trained_prefix(str(tmp_path / "tuned"), "toxicity", 0.0, "good") == GOOD


def test_prefixes_that_cannot_be_known_are_to_be_given(model_folder: Path, tmp_path: Path) -> None:
    for name, prefixes, message in [
        ("none", None, "writes no prefixes"),
        ("language", "{metadata.lang} ", r"depend on metadata\.lang too"),
        ("other", "rude: {insult:.1f}", "depend on insult too"),
    ]:
        with pytest.raises(InputError, match=message):
            trained_prefix(str(trained_on(tmp_path / name, model_folder, prefixes)), "toxicity", 0.0, "good")
    shutil.rmtree(tmp_path / "none" / "mixture")
    with pytest.raises(InputError, match="is not beside it; give the prefix"):
        trained_prefix(str(tmp_path / "none" / "model"), "toxicity", 0.0, "good")
    with pytest.raises(InputError, match="is no artifact"):
        trained_prefix(str(model_folder), "toxicity", 0.0, "good")


def test_what_is_no_condition_is_refused(model: CausalModel) -> None:
    with pytest.raises(ValueError, match="`against: bad` only"):
        ConditionedArgs(good=GOOD, bad=BAD)
    for args, message in [
        ({"good": "x", "bad": "x", "against": "bad"}, "is what it is compared with"),
        ({"good": ""}, "is what it is compared with"),
        ({"good": "<|endoftext|>kind"}, "holds the end-of-text token"),
        ({"good": "kind " * 60}, "tokens, and the model reads 96"),
        ({}, "give the `good` prefix"),
    ]:
        with pytest.raises(InputError, match=message):
            Conditioned.fit(model, None, ConditionedArgs(**args), 0)
