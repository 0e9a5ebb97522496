"""The whole list of bad input, through the front door: one clear message, the right exit code, nothing half-written."""

import gzip
import json
import os
import sys
import zipfile

import pytest

import hormesis
from infra.artifacts.artifact import describe_files, now, write_manifest
from infra.artifacts.inputs import TRUST

NOUNS, LANDMARKS = ("house", "fence", "bench"), ("river", "school", "station", "market")
COLOURS = ("red", "green", "blue", "white", "black")
SENTENCES = [
    f"The {noun} at the {landmark} was painted {hue}." for noun in NOUNS for landmark in LANDMARKS for hue in COLOURS
]

WORDS = {"name": "words", "scorer": {"name": "profanity"}, "keep_at_or_above": 0.05}
CURATION = {"kind": "curation", "name": "job", "corpora": {"clean": {"sources": [{"path": "a.jsonl"}]}},
            "steps": [{"step": "score", "scorer": {"name": "profanity"}},
                      {"step": "tag", "tagger": WORDS}]}  # fmt: skip
MIXTURE = {"kind": "mixture", "name": "mix", "curation": "runs/job", "sequence_length": 16, "risk": "toxicity",
           "tokenizer": {"train_bpe": {"component": "clean", "vocab_size": 300}},
           "components": {"clean": {"corpus": "clean", "tokens": 200}}}  # fmt: skip


@pytest.fixture
def door(tmp_path, monkeypatch, capsys):
    """Run the command line in `tmp_path`; returns exit code and the error text on one line."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in SENTENCES))

    def run(specification, *arguments):
        (tmp_path / "job.yaml").write_text(json.dumps(specification))
        monkeypatch.setattr(sys, "argv", ["hormesis", "run", "job.yaml", "--workers", "1", *arguments])
        with pytest.raises(SystemExit) as left:
            hormesis.main()
        return left.value.code or 0, " ".join(capsys.readouterr().err.split())

    return run


def changed(base, **changes):
    return {**base, **changes}


def source(**keys):
    return changed(CURATION, corpora={"clean": {"sources": [keys]}})


def with_component(**keys):
    return changed(MIXTURE, components={"clean": {"corpus": "clean", **keys}})


def nothing_was_made(folder, name):
    return not (folder / "runs" / name).exists()


@pytest.mark.parametrize(
    ("specification", "words"),
    [
        (changed(CURATION, stepps=[]), ["job.yaml:1: stepps: unknown key", 'did you mean "steps"']),
        (changed(CURATION, max_bad_share="many"), ["job.yaml:1: max_bad_share:", "'many'"]),
        (with_component(fraction_of_total=1.5), ["job.yaml:1: components.clean.fraction_of_total:", "between 0 and 1"]),
        (
            changed(CURATION, steps=[{"step": "score", "scorer": {"name": "profanitty"}}]),
            ["job.yaml:1: steps[0].scorer.name", 'did you mean "profanity"'],
        ),
        (source(path="synthetic:poems"), ["synthetic:forum"]),
        (source(path="wheel:garak/x"), ["wheel:NAME==VERSION/"]),
    ],
)
def test_what_the_file_says_wrong_is_refused_before_anything_runs(door, tmp_path, specification, words):
    code, message = door(specification)
    assert code == 2 and all(word in message for word in words), message
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("name", "content", "code", "words"),
    [
        ("none.jsonl", None, 2, ["none.jsonl"]),
        ("empty.jsonl", b"", 2, ["corpus clean is empty"]),
        ("bad.jsonl", b'{"text": "A fine day."}\n{"text": \n', 1, ["bad.jsonl:2:", "max_bad_share"]),
        ("utf.jsonl", b'{"text": "A fine day."}\n{"text": "\xff\xfe"}\n', 1, ["utf.jsonl:2:", "UTF-8"]),
        ("cut.jsonl.gz", gzip.compress(b'{"text": "A fine day."}\n' * 5000)[:-30], 1, ["cut.jsonl.gz"]),
    ],
)
def test_corpora_that_cannot_be_read_are_named(door, tmp_path, name, content, code, words):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    exit_code, message = door(source(path=name))
    assert exit_code == code and all(word in message for word in words), message
    assert nothing_was_made(tmp_path, "job")


def test_one_bad_line_among_many_costs_that_line_and_is_told(door, tmp_path):
    lines = [json.dumps({"text": text}).encode() for text in SENTENCES * 4]
    lines[17] = b'{"text": "\xff"}'
    (tmp_path / "a.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    code, message = door(changed(CURATION, max_bad_share=0.01))
    assert code == 0 and "a.jsonl:18:" in message and "1 of 240 lines" in message
    assert json.loads((tmp_path / "runs/job/artifact.json").read_text())["counts"]["clean"]["documents"] == 239


def test_a_wheel_of_another_checksum_is_refused(door, tmp_path, monkeypatch):
    monkeypatch.setenv("HORMESIS_CACHE", str(tmp_path / "cache"))
    (tmp_path / "cache" / "wheels").mkdir(parents=True)
    with zipfile.ZipFile(tmp_path / "cache/wheels/tiny_data-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("tiny/a.jsonl", json.dumps({"text": "A fine day."}) + "\n")
    code, message = door(source(path="wheel:tiny-data==1.0/tiny/*.jsonl", sha256="0" * 64))
    assert code == 2 and "expected sha256 000" in message and "found" in message
    assert nothing_was_made(tmp_path, "job")


@pytest.mark.parametrize(
    "scorer",
    [
        {"name": "detoxify", "model": "original"},
        {"name": "detoxify", "checkpoint": "none.ckpt", "config": "none"},
    ],
)
def test_weights_that_cannot_be_had_are_one_sentence(door, tmp_path, monkeypatch, scorer):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    code, message = door(changed(CURATION, steps=[{"step": "score", "scorer": scorer}]))
    assert code == 2 and message.startswith("error:"), message
    assert nothing_was_made(tmp_path, "job")


def test_amounts_beyond_the_cap_and_tokenizers_without_an_end_are_refused(door, tmp_path):
    assert door(CURATION)[0] == 0
    code, message = door(with_component(tokens=1_000_000, max_epochs=2))
    assert code == 2 and "not enough tokens" in message and "1,000,000" in message, message
    from tokenizers import Tokenizer, models

    Tokenizer(models.WordLevel({"a": 0, "<unk>": 1}, unk_token="<unk>")).save(str(tmp_path / "t.json"))
    code, message = door(changed(MIXTURE, tokenizer={"file": "t.json"}))
    assert code == 2 and "t.json" in message and "end" in message.lower(), message
    code, message = door(with_component(tokens=100, where="toxcity < 0.5"))
    assert code == 2 and 'did you mean "toxicity"' in message, message
    assert nothing_was_made(tmp_path, "mix")


@pytest.mark.parametrize(
    ("specification", "words"),
    [
        (MIXTURE, ["runs/job", "not a curation artifact"]),
        ({"kind": "pretrain", "name": "p", "mixture": "runs/none"}, ["runs/none", "not a mixture artifact"]),
        ({"kind": "posttrain", "name": "s", "model": "runs/none", "method": "prompt"}, ["runs/none"]),
    ],
)  # fmt: skip
def test_artifacts_that_are_not_there_are_named(door, specification, words):
    code, message = door(specification)
    assert code == 2 and all(word in message for word in words), message


def test_a_damaged_input_is_refused_unless_it_is_trusted(door, tmp_path, monkeypatch):
    monkeypatch.setenv(TRUST, "")
    made = tmp_path / "made"
    made.mkdir()
    lines = (tmp_path / "a.jsonl").read_text()
    (made / "a.jsonl").write_text(lines)
    about = {"kind": "curation", "version": 1, "fingerprint": "f" * 64, "started": now()}
    write_manifest(made, describe_files(made), config={}, inputs={}, counts={}, notes=[], **about)
    (made / "a.jsonl").write_text(lines.replace(SENTENCES[0], SENTENCES[0].swapcase()))
    code, message = door(source(path="made/a.jsonl"))
    assert code == 1 and message.count("content differs from its checksum") == 1 and "--trust" in message
    assert nothing_was_made(tmp_path, "job")
    assert door(source(path="made/a.jsonl"), "--trust")[0] == 0 and os.environ[TRUST] == "1"
    monkeypatch.setenv(TRUST, "")
    monkeypatch.setattr(sys, "argv", ["hormesis", "plan", "job.yaml", "--trust"])
    with pytest.raises(SystemExit) as left:
        hormesis.main()
    assert not left.value.code and os.environ[TRUST] == "1"
