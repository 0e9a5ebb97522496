"""infra/constraints.txt, which installs tomorrow what is installed today, goes with pyproject.toml."""

from __future__ import annotations

import itertools
import tomllib

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.helpers import ROOT


def test_it_has_a_version_for_every_dependency_of_every_extra_that_fits() -> None:
    lines = (ROOT / "infra/constraints.txt").read_text().splitlines()
    versions = dict(line.split("==") for line in lines if not line.startswith("#"))
    versions = {canonicalize_name(name): version for name, version in versions.items()}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for text in itertools.chain(project["dependencies"], *project["optional-dependencies"].values()):
        package = Requirement(text)
        if package.name != project["name"]:
            assert package.specifier.contains(versions[canonicalize_name(package.name)]), text


def test_it_names_no_build_of_one_machine() -> None:
    text = (ROOT / "infra/constraints.txt").read_text()
    assert "+cpu" not in text and "file:" not in text and "nvidia" not in text
