"""An export is there whole or not at all, and never over something else."""

from pathlib import Path

import pytest

from infra.artifacts.artifact import read_artifact, write_manifest
from infra.artifacts.export import ExportWith, export_artifact
from infra.config.spec import Spec
from infra.errors import ConfigError, InputError


@pytest.fixture
def artifact(tmp_path):
    (tmp_path / "it").mkdir()
    write_manifest(tmp_path / "it", {}, kind="made", version=1, fingerprint="f", config={}, inputs={}, counts={},
                   notes=[], started="now")  # fmt: skip
    return read_artifact(tmp_path / "it")


def write(artifact, folder: Path) -> None:
    (folder / "one.txt").write_text(artifact.kind)


def test_an_export_is_one_new_folder(tmp_path, artifact):
    made = export_artifact(artifact, {"text": write}, "text", tmp_path / "below" / "out")
    assert [file.name for file in made.iterdir()] == ["one.txt"]
    assert [path.name for path in made.parent.iterdir()] == ["out"]


def test_an_unknown_format_names_those_there_are(tmp_path, artifact):
    with pytest.raises(InputError, match=r'made artifact to "txt"; there are: text; did you mean "text"\?'):
        export_artifact(artifact, {"text": write}, "txt", tmp_path / "out")
    with pytest.raises(InputError, match="there is none"):
        export_artifact(artifact, {}, "text", tmp_path / "out")


def test_nothing_is_written_over(tmp_path, artifact):
    (tmp_path / "out").mkdir()
    with pytest.raises(InputError, match="out: exists already"):
        export_artifact(artifact, {"text": write}, "text", tmp_path / "out")


def test_a_failed_export_leaves_nothing(tmp_path, artifact):
    def fail(artifact, folder):
        write(artifact, folder)
        raise OSError("no space left on device")

    with pytest.raises(OSError, match="no space"):
        export_artifact(artifact, {"text": fail}, "text", tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["it"]


class Options(Spec):
    times: int = 1


def test_a_format_that_can_be_told_more_gets_its_settings_checked(tmp_path, artifact):
    formats = {
        "more": ExportWith(Options, lambda artifact, folder, options: write_times(folder, options.times)),
        "plain": write,
    }
    made = export_artifact(artifact, formats, "more", tmp_path / "out", ["times=3"])
    assert (made / "times").read_text() == "3"
    assert (export_artifact(artifact, formats, "more", tmp_path / "again") / "times").read_text() == "1"
    with pytest.raises(ConfigError, match=r"--set tmies=3: tmies: unknown key; allowed here: times"):
        export_artifact(artifact, formats, "more", tmp_path / "third", ["tmies=3"])
    with pytest.raises(InputError, match="--set times=3: the export to plain has nothing to set"):
        export_artifact(artifact, formats, "plain", tmp_path / "fourth", ["times=3"])


def write_times(folder: Path, times: int) -> None:
    (folder / "times").write_text(str(times))
