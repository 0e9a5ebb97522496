"""A refusal that is met after a file was found right names the line that it is about."""

import pytest

from infra.config.placing import placing
from infra.config.yaml_reader import read_yaml
from infra.errors import AmountError, ConfigError, InputError, JobError, Problem

TEXT = """\
kind: demo
model: data/model
mixture:
  components:
    clean: {tokens: 5}
sources: ["data/*.jsonl", data/model/x]
"""


@pytest.fixture
def document(tmp_path):
    (tmp_path / "a.yaml").write_text(TEXT)
    return read_yaml(tmp_path / "a.yaml")


def told(document, error):
    with pytest.raises(type(error)) as caught, placing(document):
        raise error
    return str(caught.value).replace(str(document.path), "a.yaml")


def test_the_key_in_front_is_found_also_by_its_end(document):
    assert told(document, AmountError("components.clean: too few")) == "a.yaml:5: components.clean: too few"
    assert told(document, InputError("model: no such model\nsources[1]: nothing")) == (
        "a.yaml:2: model: no such model\na.yaml:6: sources[1]: nothing"
    )


@pytest.mark.parametrize(
    ("name", "key"),
    [("data/model", "2: model"), ("data/model/x", "6: sources[1]"), ("data/*.jsonl", "6: sources[0]"),
     ("data/model/weights.bin", "2: model")],
)  # fmt: skip
def test_a_path_in_front_is_found_as_the_file_means_it(document, name, key):
    message = f"{document.path.parent}/{name}: is not there"
    assert told(document, InputError(message)) == f"a.yaml:{key}: {message}"


def test_what_no_key_says_names_the_file(document):
    assert told(document, InputError("no room on this machine")) == "a.yaml: no room on this machine"
    assert told(document, InputError(f"{document.path.parent}/data/models: gone")).startswith("a.yaml: ")


def test_failures_of_the_job_and_problems_with_lines_stay_as_they_are(document):
    assert told(document, JobError("b.jsonl:3: broken")) == "b.jsonl:3: broken"
    assert told(document, ConfigError([Problem("b.csv:1", "x", "is wrong")])) == "b.csv:1: x: is wrong"


def test_what_another_file_said_is_told_with_its_line(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "base.yaml").write_text(TEXT)
    (tmp_path / "b.yaml").write_text("kind: demo\nextends: sub/base.yaml\n")
    document = read_yaml(tmp_path / "b.yaml")
    message = f"{tmp_path}/sub/data/model: is not there"
    assert told(document, InputError(message)) == f"{tmp_path}/sub/base.yaml:2: model: {message}"
