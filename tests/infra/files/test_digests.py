"""Digests of many files: right, kept while a file stays what it was, and never believed where it may not be.

Covers infra.files.digests and infra.files.digest_cache.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

import infra.files.digests
from infra.errors import InputError
from infra.files import digest_cache
from infra.files.digest_cache import Stamp
from infra.files.digests import digest_of, digests

OLD = 1_000_000_000


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """An empty cache, for which a file need be neither two seconds old nor large."""
    monkeypatch.setenv("HORMESIS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(digest_cache, "_RACY", 0)
    monkeypatch.setattr(digest_cache, "_memory", {})
    monkeypatch.setattr(infra.files.digests, "_QUICK", 0)
    return tmp_path / "cache"


@pytest.fixture
def opened(monkeypatch):
    """Names of the files whose content is read."""
    names = []
    really = os.open
    monkeypatch.setattr(os, "open", lambda path, *more, **named: names.append(Path(path).name) or really(path, *more))
    return names


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def made(folder, count, size=10):
    files = [folder / f"{number}.txt" for number in range(count)]
    for number, file in enumerate(files):
        file.write_bytes(str(number).encode() * size)
    return files


def test_digests_are_those_of_the_contents_in_the_order_asked(tmp_path):
    files = made(tmp_path, 700)
    (tmp_path / "large.bin").write_bytes(os.urandom(20_000_000))
    (tmp_path / "empty").touch()
    asked = [*files, tmp_path / "large.bin", files[0], tmp_path / "empty"]
    assert digests(asked, threads=3) == [sha256(file.read_bytes()) for file in asked]
    assert digests([]) == []


def test_a_file_that_stays_what_it_was_is_not_opened(tmp_path, opened):
    files = made(tmp_path, 5)
    first = digests(files)
    assert len(opened) == 5
    assert digests(files) == first and len(opened) == 5


def test_small_files_are_read_and_not_asked_for_in_the_cache(tmp_path, monkeypatch, cache):
    monkeypatch.setattr(infra.files.digests, "_QUICK", 100)
    files = [tmp_path / str(size) for size in (0, 1, 99, 100, 101)]
    for file in files:
        file.write_bytes(os.urandom(int(file.name)))
    assert digests(files) == digests(files) == [sha256(file.read_bytes()) for file in files]
    with sqlite3.connect(cache / "digests-1.sqlite") as database:
        assert [name for (name,) in database.execute("SELECT path FROM digests")] == [str(files[-1])]


def test_a_small_file_that_one_call_does_not_read_whole_is_read_on(tmp_path, monkeypatch):
    monkeypatch.setattr(infra.files.digests, "_QUICK", 100)
    (file,) = made(tmp_path, 1)
    really = os.read
    monkeypatch.setattr(os, "read", lambda descriptor, size: really(descriptor, min(size, 3)))
    assert digest_of(file) == sha256(file.read_bytes())


def test_very_many_small_files_are_read_by_processes_and_what_they_cannot_read_is_told(tmp_path, monkeypatch, opened):
    monkeypatch.setattr(infra.files.digests, "_QUICK", 1 << 13)
    monkeypatch.setattr(infra.files.digests, "_MANY", 50)
    files = made(tmp_path, 120)
    large = tmp_path / "large"
    large.write_bytes(b"x" * 10_000)
    sizes = [file.stat().st_size for file in (*files, large)]
    files[7].write_bytes(b"longer than it was when it was listed")
    assert digests([*files, large], sizes=sizes, threads=2) == [sha256(file.read_bytes()) for file in (*files, large)]
    assert sorted(set(opened) & {file.name for file in (*files, large)}) == ["7.txt", "large"]  # by this process
    files[8].unlink()
    with pytest.raises(InputError, match=r"8\.txt: no such file"):
        digests(files, sizes=sizes[:-1], threads=2)


def killed(paths, sizes):
    os._exit(9)


def test_where_a_process_is_killed_the_files_are_read_all_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr(infra.files.digests, "_QUICK", 1 << 13)
    monkeypatch.setattr(infra.files.digests, "_MANY", 50)
    monkeypatch.setattr(infra.files.digests, "_batch", killed)
    files = made(tmp_path, 120)
    assert digests(files, threads=2) == [sha256(file.read_bytes()) for file in files]


@pytest.mark.parametrize("keep_time", [False, True])
def test_another_content_of_the_same_size_is_read_even_where_its_time_was_set_back(tmp_path, keep_time):
    (file,) = made(tmp_path, 1)
    before, status = digest_of(file), file.stat()
    time.sleep(0.02)  # a kernel's clock ticks every few milliseconds
    file.write_bytes(b"9" * 10)
    if keep_time:
        os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert digest_of(file) == sha256(b"9" * 10) != before


def test_another_file_of_the_same_size_and_time_is_read(tmp_path):
    one, other = made(tmp_path, 2)
    for file in (one, other):
        os.utime(file, ns=(OLD, OLD))
    digests([one, other])
    os.replace(other, one)
    assert digest_of(one) == sha256(b"1" * 10)


def test_a_file_written_a_moment_ago_is_not_remembered(tmp_path, monkeypatch, opened):
    monkeypatch.setattr(digest_cache, "_RACY", 2_000_000_000)
    (file,) = made(tmp_path, 1)
    digest_of(file)
    digest_of(file)
    assert opened.count("0.txt") == 2
    future = time.time_ns() + 10**12
    os.utime(file, ns=(future, future))
    digest_of(file)
    digest_of(file)
    assert opened.count("0.txt") == 4


def test_a_file_that_changes_while_it_is_read_is_an_error(tmp_path, monkeypatch):
    (file,) = made(tmp_path, 1)
    really = os.readv

    def grow(descriptor, buffers):
        with file.open("ab") as out:
            out.write(b"more")
        return really(descriptor, buffers)

    monkeypatch.setattr(os, "readv", grow)
    with pytest.raises(InputError, match=r"0\.txt: changed while it was read"):
        digest_of(file)


@pytest.mark.parametrize("name", ["missing", "."])
def test_what_cannot_be_read_is_named(tmp_path, name):
    with pytest.raises(InputError, match=rf"{tmp_path}.*(no such file|cannot be read)"):
        digests([*made(tmp_path, 3), tmp_path / name])


@pytest.mark.parametrize("damage", [b"", b"no database", None])
def test_a_damaged_cache_is_made_anew(tmp_path, cache, damage, opened):
    (file,) = made(tmp_path, 1)
    expected = digest_of(file)
    (database,) = cache.glob("digests*")
    whole = database.read_bytes()
    database.write_bytes(whole[:100] + b"\xff" * (len(whole) - 100) if damage is None else damage)
    for _ in range(3):
        assert digest_of(file) == expected
    assert opened.count("0.txt") <= 3 and sqlite3.connect(database).execute("SELECT count(*) FROM digests").fetchone()


def test_a_flipped_bit_in_the_cache_is_not_believed(tmp_path, cache):
    (file,) = made(tmp_path, 1)
    expected = digest_of(file)
    (database,) = cache.glob("digests*")
    database.write_bytes(database.read_bytes().replace(expected.encode(), b"f" * 64))
    assert digest_of(file) == expected


def test_without_a_place_to_write_digests_are_kept_in_memory(tmp_path, monkeypatch, opened):
    (tmp_path / "file").touch()
    monkeypatch.setenv("HORMESIS_CACHE", str(tmp_path / "file" / "below"))
    files = made(tmp_path, 4)
    assert digests(files) == digests(files) and len([name for name in opened if name.endswith(".txt")]) == 4


def test_a_cache_that_another_process_holds_is_done_without(tmp_path, cache, monkeypatch):
    (file,) = made(tmp_path, 1)
    digest_of(file)
    monkeypatch.setattr(digest_cache, "_WAIT", 0.05)
    (database,) = cache.glob("digests*")
    with sqlite3.connect(database) as held:
        held.execute("BEGIN EXCLUSIVE")
        assert digest_of(file) == sha256(b"0" * 10)


def test_processes_share_the_cache(tmp_path):
    made(tmp_path, 300, size=10_000)  # large enough to be remembered
    program = """
        import sys
        from pathlib import Path
        from infra.files.digests import digests
        print(hash(tuple(digests(sorted(Path(sys.argv[1]).glob("*.txt"))))) and "done")
    """
    command = [sys.executable, "-c", textwrap.dedent(program), str(tmp_path)]
    for file in tmp_path.glob("*.txt"):
        os.utime(file, ns=(OLD, OLD))
    time.sleep(2.1)  # these processes believe nothing that is younger
    started = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(3)]
    assert [process.communicate()[0] for process in started] == [b"done\n"] * 3
    stamps = {str(file): digest_cache.Stamp.of(file.stat()) for file in tmp_path.glob("*.txt")}
    assert digest_cache.lookup(stamps) == {path: sha256(Path(path).read_bytes()) for path in stamps}


def test_a_renamed_folder_is_not_read_again(tmp_path, opened):
    for name in ("work", "work0"):
        (tmp_path / name).mkdir()
        digests(made(tmp_path / name, 3))
    os.replace(tmp_path / "work", tmp_path / "done")
    digest_cache.relocate(tmp_path / "work", tmp_path / "done")
    opened.clear()
    digests([*(tmp_path / "done").iterdir(), *(tmp_path / "work0").iterdir()])
    assert not opened


def test_an_interruption_stops_all_threads(tmp_path, monkeypatch):
    files = made(tmp_path, 40, size=3_000_000)

    def interrupt(entries):
        raise KeyboardInterrupt

    monkeypatch.setattr(digest_cache, "remember", interrupt)
    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        digests(files, threads=2)
    assert threading.active_count() == before


def test_the_folder_is_the_users_choice_then_that_of_the_desktop(monkeypatch):
    assert digest_cache.cache_folder() == Path(os.environ["HORMESIS_CACHE"])
    monkeypatch.delenv("HORMESIS_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert digest_cache.cache_folder() == Path("/somewhere/hormesis")


def test_a_cache_that_has_grown_too_large_forgets_half(tmp_path, cache, monkeypatch):
    stamp = Stamp(1, 10_000, 1, 1)
    names = [f"/data/{number}" for number in range(1000)]
    digest_cache.remember((name, stamp, sha256(name.encode())) for name in names)
    assert len(digest_cache.lookup(dict.fromkeys(names, stamp))) == 1000
    monkeypatch.setattr(digest_cache, "_LARGEST", 1000)
    digest_cache.remember([("/data/new", stamp, sha256(b"new"))])
    assert 300 < len(digest_cache.lookup(dict.fromkeys(names, stamp))) < 700
