"""A lease is held by one process, on whatever machine, and falls with it.

Covers infra.stages.lease and infra.stages.process_names.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from infra.errors import BusyError
from infra.stages import lease
from infra.stages.lease import holder_of, leased
from infra.stages.process_names import this_process

WORKER = """
import sys, time
from pathlib import Path
from infra.stages import lease
lease.BEAT = float(sys.argv[2])
with lease.leased(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def quick(monkeypatch):
    """Beats and patience of a network folder, at a hundredth."""
    monkeypatch.setattr(lease, "BEAT", 0.1)
    monkeypatch.setattr(lease, "SILENT", 0.6)


def start(folder: Path, beat: float = 0.1) -> subprocess.Popen[str]:
    """A process that holds the lease when this returns."""
    command = [sys.executable, "-c", WORKER, str(folder), str(beat)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    return process


def move_to_another_machine(folder: Path, **changes: str) -> Path:
    """Make the one lease of a folder that of another machine's process; its process here beats on."""
    (file,) = (path for path in folder.with_name(f"{folder.name}.lease").iterdir() if path.name.isdecimal())
    record = json.loads(file.read_text())
    record["process"] = {**record["process"], "host": "node-7", "place": "another", **changes}
    with file.open("r+") as stream:
        stream.truncate()
        json.dump(record, stream)
    return file


def test_a_lease_is_one_persons_and_leaves_nothing(tmp_path):
    with leased(tmp_path / "x"):
        holder = holder_of(tmp_path / "x")
        assert holder is not None and holder.process == this_process()
        with pytest.raises(
            BusyError, match=rf"x: .* pid {os.getpid()} works on this since 20\S+; wait for it, or choose"
        ):
            leased(tmp_path / "x", wait=False).__enter__()
    assert holder_of(tmp_path / "x") is None and not list(tmp_path.iterdir())


def test_of_many_at_once_one_holds_at_any_time(tmp_path):
    inside, highest = [0], [0]

    def work():
        for _ in range(5):
            with leased(tmp_path / "x"):
                inside[0] += 1
                highest[0] = max(highest[0], inside[0])
                time.sleep(0.002)
                inside[0] -= 1

    for number in (1, 2):  # of one who died, and of one who died as it took over
        (tmp_path / "x.lease").mkdir(exist_ok=True)
        dead = {"process": {**asdict(this_process()), "born": "1"}, "since": "", "key": str(number)}
        (tmp_path / "x.lease" / str(number)).write_text(json.dumps(dead))
    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert highest == [1] and not list(tmp_path.iterdir())


def test_a_killed_holders_lease_is_taken_at_once(tmp_path):
    process = start(tmp_path / "x")
    process.kill()
    process.wait()
    assert holder_of(tmp_path / "x") is None
    with leased(tmp_path / "x", wait=False):
        assert len([path for path in (tmp_path / "x.lease").iterdir() if path.name.isdecimal()]) == 1
    assert not list(tmp_path.iterdir())


def test_a_process_id_that_came_back_is_not_the_holder(tmp_path):
    with leased(tmp_path / "x"):
        (file,) = (path for path in (tmp_path / "x.lease").iterdir() if path.name.isdecimal())
        record = json.loads(file.read_text())
    record["process"]["born"] = "1"
    (tmp_path / "x.lease").mkdir()
    (tmp_path / "x.lease" / "1").write_text(json.dumps(record))
    with leased(tmp_path / "x", wait=False):
        pass


def test_who_waits_is_told_once_who_works_and_goes_on_when_that_one_ends(tmp_path, capsys):
    process = start(tmp_path / "x")
    thread = threading.Timer(0.5, process.kill)
    thread.start()
    with leased(tmp_path / "x"):
        assert process.wait() == -signal.SIGKILL
    printed = capsys.readouterr().err
    assert printed.count(f"pid {process.pid} works on this since") == 1 and "waiting for it" in printed


def test_another_machines_holder_is_believed_while_it_beats_whatever_the_clocks_say(tmp_path, quick, monkeypatch):
    process = start(tmp_path / "x")
    move_to_another_machine(tmp_path / "x")
    monkeypatch.setattr(time, "time", lambda: 4e9)  # of this machine; the file server's counts
    ended = threading.Event()
    threading.Thread(target=lambda: (leased(tmp_path / "x").__enter__(), ended.set())).start()
    assert not ended.wait(2.0)
    process.kill()
    process.wait()
    assert ended.wait(10.0)


def test_a_holder_that_was_stopped_for_long_loses_its_lease_and_ends_when_it_wakes(tmp_path, quick):
    process = start(tmp_path / "x")
    move_to_another_machine(tmp_path / "x")
    process.send_signal(signal.SIGSTOP)
    with leased(tmp_path / "x"):
        process.send_signal(signal.SIGCONT)
        assert process.wait(10) == 1
    assert process.stderr is not None and "another one took over; it ends here" in process.stderr.read()


def test_a_lease_that_was_never_written_out_is_given_up_after_a_while(tmp_path, quick):
    (tmp_path / "x.lease").mkdir()
    (tmp_path / "x.lease" / "3").touch()
    with leased(tmp_path / "x"):
        assert (tmp_path / "x.lease" / "4").exists()
    assert not list(tmp_path.iterdir())


def test_other_containers_of_this_machine_number_their_processes_apart():
    assert this_process().dead is False
    assert replace(this_process(), kernel="another").dead is None
