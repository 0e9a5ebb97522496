"""A registry imports what it is asked for and nothing else, and its tables name what there is."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from analysis.evaluations import EVALUATIONS
from analysis.spec import AnalysisSpec
from curation.scorers import SCORERS
from curation.scorers.options import AnyScorer
from curation.steps import STEPS
from curation.steps.options import AnyStep
from curation.taggers import TAGGERS
from curation.taggers.options import AnyTagger
from infra.config.registry import Registry, options_by_name
from infra.errors import InputError
from posttrain.methods import METHODS
from posttrain.methods.options import AnyMethod
from pretrain.launchers import LAUNCHERS
from pretrain.launchers.options import AnyLauncher

UNIONS = [
    pytest.param(SCORERS, AnyScorer, "name", id="scorer"),
    pytest.param(TAGGERS, AnyTagger, "name", id="tagger"),
    pytest.param(STEPS, AnyStep, "step", id="step"),
    pytest.param(LAUNCHERS, AnyLauncher, "name", id="launcher"),
    pytest.param(METHODS, AnyMethod, "name", id="method"),
]
COLD = """
import sys
from infra.config.registry import Registry
classes = {"linear": "curation.scorers.linear:Linear", "fasttext": "curation.scorers.fasttext:FasttextScorer"}
registry = Registry("scorer", classes)
assert registry.names() == ["fasttext", "linear"]
assert "curation.scorers.linear" not in sys.modules
assert registry.get("linear").__name__ == "Linear"
assert "curation.scorers.fasttext" not in sys.modules
"""


def test_a_class_is_imported_when_it_is_asked_for_and_no_other():
    subprocess.run([sys.executable, "-c", COLD], check=True)


def test_an_unknown_name_is_refused_with_the_nearest():
    registry: Registry[Any] = Registry("thing", {"pear": "things:Pear", "apple": "things:Apple"})
    with pytest.raises(InputError, match='no thing "aple"; there are: apple, pear; did you mean "apple"'):
        registry.get("aple")


@pytest.mark.parametrize(("registry", "union", "key"), UNIONS)
def test_what_the_yaml_may_name_is_what_there_is_with_the_options_that_it_takes(registry, union, key):
    options = options_by_name(union, key)
    assert sorted(options) == registry.names()
    for name, section in options.items():
        implementation = registry.get(name)
        assert getattr(implementation, "options", None) is section or implementation.args is section


def test_every_evaluation_has_its_key_in_the_yaml():
    for name in EVALUATIONS.names():
        assert EVALUATIONS.get(name).options | None == AnalysisSpec.model_fields[name].annotation
