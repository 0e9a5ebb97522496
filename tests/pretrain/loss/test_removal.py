"""Removal needs a token to put in the place of what is removed: never the EOS, which would end the document.

Covers pretrain.start.inputs.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from infra.errors import InputError
from mixtures.reading.built import BuiltMixture
from pretrain.loss.spec import LossSpec
from pretrain.start.inputs import _check_policy
from tests.helpers.token_mixtures import EOS, write_mixture


@pytest.mark.parametrize(
    "loss", [{"policy": "remove"}, {"by_component": {"a": {"bands": [{"at_or_above": 0.9, "do": "remove"}]}}}]
)
def test_remove_is_refused_where_the_eos_would_stand_for_what_is_removed(loss, tmp_path: Path) -> None:
    folder = write_mixture(tmp_path / "m", {"a": ([[5, 6, EOS]], [[1, 200, 1]])}, {})
    mixture = BuiltMixture.open(folder, verify=False)

    def check(policy, **facts):
        _check_policy(policy, replace(mixture, facts=replace(mixture.facts, **facts)))

    policy = LossSpec.model_validate(loss)
    check(policy)
    check(policy, removed_id=None)  # then the padding stands for it
    with pytest.raises(InputError, match=r"loss: remove \(a\): the tokenizer has neither"):
        check(policy, removed_id=None, pad_id=EOS)
    check(LossSpec(policy="mask"), removed_id=None, pad_id=EOS)
