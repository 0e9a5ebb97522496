"""An artifact in a bucket is whole or none; what differs from its checksum is not published.

Covers infra.artifacts.transfer and infra.files.remote.
"""

import hashlib
import json

import fsspec
import pytest

from infra.artifacts.artifact import describe_files, read_artifact, sealed, verify, write_manifest
from infra.artifacts.fingerprint import digest_location
from infra.artifacts.transfer import copy_artifact, size_of
from infra.errors import ArtifactError, InputError, UnavailableError
from infra.files.remote import located


def ignore(count):
    pass


@pytest.fixture
def bucket():
    filesystem = fsspec.filesystem("memory")
    filesystem.store.clear()
    yield "memory://bucket/runs/it"
    filesystem.store.clear()


@pytest.fixture
def artifact(tmp_path):
    folder = tmp_path / "it"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "a.bin").write_bytes(bytes(range(256)) * 100)
    (folder / "b.txt").write_text("b")
    write_manifest(folder, describe_files(folder), kind="made", version=1, fingerprint="f" * 64, config={}, inputs={},
                   counts={}, notes=[], started="now")  # fmt: skip
    return folder


def test_an_artifact_comes_back_from_a_bucket_as_it_was(tmp_path, artifact, bucket):
    moved = []
    copy_artifact(str(artifact), bucket, moved.append)
    assert sum(moved) == size_of(bucket) == size_of(str(artifact)) == 25_601
    copy_artifact(bucket, str(tmp_path / "back"), ignore)
    verify(read_artifact(tmp_path / "back", "made"))
    assert (tmp_path / "back/artifact.json").read_bytes() == (artifact / "artifact.json").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["back", "it"]


def test_the_manifest_is_written_last_so_that_a_cut_copy_is_no_artifact(artifact, bucket, monkeypatch):
    def cut(count):
        raise OSError("connection lost")

    with pytest.raises(InputError, match="connection lost"):
        copy_artifact(str(artifact), bucket, cut)
    with pytest.raises(InputError, match="not an artifact"):
        copy_artifact(bucket, str(artifact) + "-back", ignore)
    copy_artifact(str(artifact), bucket, ignore)
    assert size_of(bucket) == 25_601


def test_a_file_that_differs_from_its_checksum_is_not_published(artifact, bucket):
    (artifact / "b.txt").write_text("c")
    with pytest.raises(ArtifactError, match=r"b\.txt: content differs from its checksum"):
        copy_artifact(str(artifact), bucket, ignore)
    assert size_of(bucket) == 0


def test_copying_twice_changes_nothing_and_another_artifact_is_not_written_over(tmp_path, artifact, bucket):
    copy_artifact(str(artifact), bucket, ignore)
    copy_artifact(str(artifact), bucket, ignore)
    manifest = artifact / "artifact.json"
    manifest.write_text(json.dumps(sealed({**json.loads(manifest.read_text()), "fingerprint": "e" * 64})))
    with pytest.raises(InputError, match="holds another artifact"):
        copy_artifact(str(artifact), bucket, ignore)
    (tmp_path / "taken").mkdir()
    with pytest.raises(InputError, match="exists and is not a hormesis artifact"):
        copy_artifact(bucket, str(tmp_path / "taken"), ignore)


def test_places_that_cannot_be_are_named(artifact):
    with pytest.raises(InputError, match="nosuch://bucket: "):
        copy_artifact(str(artifact), "nosuch://bucket", ignore)


def test_a_remote_file_is_known_by_its_content_not_by_its_name_or_time(bucket):
    for name, data in (("a", b"one"), ("b", b"one"), ("c", b"two")):
        fsspec.filesystem("memory").pipe_file(f"/bucket/{name}", data)
    a, b, c = (digest_location(f"memory://bucket/{name}") for name in "abc")
    assert a == b != c


def _with_file(artifact, name, content=b"b"):
    record = json.loads((artifact / "artifact.json").read_text())
    record["files"][name] = {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    (artifact / "artifact.json").write_text(json.dumps(sealed(record)))


@pytest.mark.parametrize("name", ["../b", "../../b", "deep/../../b", "/etc/hostname", "", "deep//a.bin", "a\0b"])
def test_a_foreign_manifest_can_name_nothing_outside_its_folder(tmp_path, artifact, bucket, name):
    (tmp_path / "b").write_text("b")
    _with_file(artifact, name)
    for target in (str(tmp_path / "x" / "y" / "back"), bucket):
        with pytest.raises(ArtifactError, match="lies outside the artifact"):
            copy_artifact(str(artifact), target, ignore)
    with pytest.raises(ArtifactError, match="lies outside the artifact"):
        read_artifact(artifact)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b", "it"]


def test_a_link_out_of_an_artifact_is_not_followed(tmp_path, artifact):
    (tmp_path / "secret").write_bytes(b"b")
    (artifact / "inner").symlink_to(tmp_path / "secret")
    _with_file(artifact, "inner")
    with pytest.raises(ArtifactError, match="'inner' lies outside the artifact"):
        copy_artifact(str(artifact), str(tmp_path / "back"), ignore)
    (artifact / "inner").unlink()
    (artifact / "inner").symlink_to(artifact / "b.txt")
    copy_artifact(str(artifact), str(tmp_path / "back"), ignore)
    assert not (tmp_path / "back" / "inner").is_symlink()


@pytest.mark.parametrize("manifest", ["[]", "{}", '{"files": []}', "[" * 100_000, '{"files": {"a": 1}}'])
def test_a_manifest_that_is_none_is_one_message(tmp_path, artifact, manifest):
    (artifact / "artifact.json").write_text(manifest)
    with pytest.raises(ArtifactError, match=r"artifact\.json: not"):
        copy_artifact(str(artifact), str(tmp_path / "back"), ignore)


@pytest.mark.parametrize(("url", "extra"), [("s3://bucket/x", "s3"), ("https://host/x.jsonl", "http")])
def test_a_missing_package_is_named_by_its_extra(monkeypatch, url, extra):
    def absent(location):
        raise ImportError("Install something to access it")

    monkeypatch.setattr(fsspec.core, "url_to_fs", absent)
    with pytest.raises(UnavailableError, match=rf"{url}: .*pip install 'hormesis\[{extra}\]'"):
        located(url)
