"""What a run reads of its mixture before anything is spent."""

from __future__ import annotations

import json

import pytest

from infra.errors import ArtifactError, DataError
from pretrain.start.inputs import open_inputs
from tests.helpers.token_mixtures import EOS, small_mixture, small_run, write_mixture

MASK = {"bands": [{"at_or_above": 0.5, "do": "mask"}]}


def test_a_mixture_without_a_risk_histogram_is_refused(tmp_path):
    """It says nothing of unscored tokens, and is not taken to have none."""
    path = small_mixture(tmp_path / "m") / "mixture.json"
    manifest = json.loads(path.read_text())
    del manifest["components"][1]["risk_histogram"]
    path.write_text(json.dumps(manifest).ljust(path.stat().st_size))
    with pytest.raises(ArtifactError, match=r"components\.1\.risk_histogram: missing"):
        open_inputs(small_run(mixture=str(path.parent), loss=MASK), verify=False)


def test_unscored_tokens_are_refused_where_the_loss_policy_asks_for_their_risk(tmp_path):
    folder = write_mixture(tmp_path / "m", {"only": ([[5, 6, EOS]], [[0, 1, 1]])}, {})
    with pytest.raises(DataError, match="1 tokens of component 'only' carry no risk"):
        open_inputs(small_run(mixture=str(folder), loss=MASK))
    assert open_inputs(small_run(mixture=str(folder))).components == ("only",)
