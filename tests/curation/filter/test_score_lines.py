"""`hormesis score`: a filter that keeps what it is given, adds what it is asked for and names what it cannot read.

Covers curation.filter.score_lines, curation.filter.text_scoring and curation.filter.line_records.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from curation.filter.score_lines import arriving, prepare
from curation.scorers import load_scorer
from curation.scorers.options import ProfanitySpec
from curation.scorers.profanity import Profanity
from curation.token_models.trained import read_card
from infra.artifacts.artifact import Artifact
from infra.errors import ConfigError, DataError, InputError, ScoringError
from tests.helpers import ROOT
from tests.helpers.taggers import train

RUDE = {"id": 7, "text": "😀 And you, idiot, know it.", "kept": {"π": [1, None]}}
FINE = {"text": "The fence near the river was painted red."}


@pytest.fixture(scope="module")
def tagger(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return train(tmp_path_factory.mktemp("tagger"))


def scored(*records: dict, scorer: str = "profanity", **options: object) -> list[dict]:
    asked = {"spans": False, "all_spans": False, "tagger": "words", "attribute": None, "passage": 200, **options}
    lines = [json.dumps(record).encode() + b"\n" for record in records]
    return [json.loads(line) for line in prepare(scorer, **asked).lines([lines])]  # type: ignore[arg-type]


def test_a_line_comes_back_with_its_score_and_all_that_it_had() -> None:
    rude, fine = scored(RUDE, FINE)
    assert {key: rude[key] for key in RUDE} == RUDE and list(rude) == [*RUDE, "scores"]
    expected = load_scorer(ProfanitySpec()).score([RUDE["text"], FINE["text"]])[:, 0]
    assert [rude["scores"]["toxicity"], fine["scores"]["toxicity"]] == pytest.approx(expected.tolist())


def test_a_trained_taggers_spans_are_code_points_at_its_own_threshold(tagger: Artifact) -> None:
    rude, fine = scored(RUDE, FINE, scorer=f"tagger:{tagger.path}", spans=True)
    ((start, end, score),) = rude["spans"]
    assert RUDE["text"][start:end] == "idiot" and fine["spans"] == []
    assert rude["scores"] == {"toxicity": score} and score >= read_card(tagger.path).threshold
    assert fine["scores"]["toxicity"] < read_card(tagger.path).threshold


def test_all_spans_are_every_word(tagger: Artifact) -> None:
    for scorer in (f"tagger:{tagger.path}", "profanity"):
        (rude,) = scored(RUDE, scorer=scorer, all_spans=True)
        assert [RUDE["text"][start:end] for start, end, _ in rude["spans"]] == ["And", "you", "idiot", "know", "it"]


def test_any_scorer_gives_spans_through_a_tagger_of_choice(classifier_folder: Path) -> None:
    (by_words,) = scored(RUDE, spans=True)
    assert [RUDE["text"][start:end] for start, end, _ in by_words["spans"]] == ["idiot"]
    (by_sentences,) = scored(RUDE, all_spans=True, tagger="sentences")
    assert [end - start for start, end, _ in by_sentences["spans"]] == [len(RUDE["text"])]
    section = f'{{name: transformers, model: org/tiny, folder: "{classifier_folder}", precision: float32}}'
    (attributed,) = scored(RUDE, scorer=section, all_spans=True, tagger="{name: attribution, method: occlusion}",
                           attribute="insult")  # fmt: skip
    assert (
        attributed["spans"] and max(score for *_, score in attributed["spans"]) <= attributed["scores"]["insult"] + 1e-3
    )


@pytest.mark.parametrize(
    ("line", "reason"),
    [(b"{not json", "not JSON"), (b'{"text": "\xff"}', "not JSON in UTF-8"), (b'{"txt": "a"}', 'under the key "text"'),
     (b'["a"]', 'under the key "text"'), (b'{"text": null}', 'under the key "text"'),
     (b'{"text": "\\ud800"}', "half a character")],
)  # fmt: skip
def test_a_bad_line_is_named(line: bytes, reason: str) -> None:
    lines = [b'{"text": "fine"}\n', b"\n", line]
    with pytest.raises(DataError, match=f"standard input:3: .*{reason}"):
        list(prepare("profanity", False, False, "words", None, 200).lines([lines]))


def test_unknown_names_and_keys_are_refused_before_a_line_is_read() -> None:
    with pytest.raises(ConfigError, match="command line: scorer"):
        prepare("profanty", False, False, "words", None, 200)
    with pytest.raises(ConfigError, match="write a name, or a section"):
        prepare("[profanity]", False, False, "words", None, 200)
    with pytest.raises(InputError, match=r"--attribute insult: profanity@\w+ has toxicity"):
        prepare("profanity", False, False, "words", "insult", 200)
    with pytest.raises(InputError, match="not a tagger artifact"):
        prepare("tagger:/nowhere", True, False, "words", None, 200)


def test_the_command_is_a_filter(tagger: Artifact) -> None:
    command = [sys.executable, "-m", "hormesis", "score", "--scorer", f"tagger:{tagger.path}", "--spans"]
    given = "".join(json.dumps(record) + "\n" for record in (RUDE, FINE))
    done = subprocess.run(command, input=given, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    rude, fine = map(json.loads, done.stdout.splitlines())
    assert len(rude["spans"]) == 1 and fine["spans"] == []
    failed = subprocess.run(command, input=f"{given}oops\n", capture_output=True, text=True, cwd=ROOT)
    assert failed.returncode == 1 and "standard input:3" in failed.stderr and "Traceback" not in failed.stderr


def test_lines_keep_their_order_over_batches_and_blocks() -> None:
    chosen = prepare("profanity", False, False, "words", None, 200)
    texts = [f"{number} {'you idiot' if number % 3 else 'a fine day'}" for number in range(700)]
    lines = [json.dumps({"text": text}).encode() for text in texts]
    answers = [json.loads(line) for line in chosen.lines([lines[:300], [], lines[300:301], lines[301:]])]
    assert [answer["text"] for answer in answers] == texts
    expected = load_scorer(ProfanitySpec()).score(texts)[:, 0].tolist()
    assert [answer["scores"]["toxicity"] for answer in answers] == pytest.approx(expected)


def test_many_lines_are_one_call_of_the_scorer(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    original = Profanity._raw_scores
    monkeypatch.setattr(Profanity, "_raw_scores", lambda self, texts: sizes.append(len(texts)) or original(self, texts))
    assert len(scored(*[FINE] * 256)) == 256
    assert sizes == [256]


def test_good_lines_before_a_bad_one_come_out_before_the_error() -> None:
    chosen = prepare("profanity", False, False, "words", None, 200)
    answers = chosen.lines([[json.dumps(RUDE).encode(), json.dumps(FINE).encode(), b"oops", b"{}"]])
    assert [json.loads(next(answers))["text"] for _ in range(2)] == [RUDE["text"], FINE["text"]]
    with pytest.raises(DataError, match="standard input:3"):
        next(answers)


def test_a_text_that_cannot_be_scored_does_not_take_those_before_it_along(monkeypatch: pytest.MonkeyPatch) -> None:
    original = Profanity._raw_scores

    def fails(self: Profanity, texts: list[str]) -> object:
        if "boom" in texts:
            raise RuntimeError("no")
        return original(self, texts)

    monkeypatch.setattr(Profanity, "_raw_scores", fails)
    chosen = prepare("profanity", False, False, "words", None, 200)
    answers = chosen.lines([[json.dumps({"text": text}).encode() for text in ("fine", "day", "boom", "end")]])
    assert [json.loads(next(answers))["text"] for _ in range(2)] == ["fine", "day"]
    with pytest.raises(ScoringError):
        next(answers)


def test_blocks_are_what_has_come_with_lines_whole_and_none_lost() -> None:
    reading, writing = os.pipe()
    blocks = arriving(reading)
    os.write(writing, b"one\ntwo\nthr")
    assert next(blocks) == [b"one", b"two"]
    os.write(writing, b"ee\nfo")
    assert next(blocks) == [b"three"]
    os.write(writing, b"u")
    os.write(writing, b"r\n\n" + b"x" * 100)
    os.close(writing)
    assert [line for block in blocks for line in block] == [b"four", b"", b"x" * 100]
    os.close(reading)


def test_when_the_input_pauses_all_that_came_is_answered() -> None:
    command = [sys.executable, "-m", "hormesis", "score", "--scorer", "profanity"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT) as process:
        assert process.stdin is not None and process.stdout is not None
        for texts in (["one", "two"], ["three"]):
            process.stdin.write("".join(json.dumps({"text": text}) + "\n" for text in texts).encode())
            process.stdin.flush()  # and now nothing comes until the answers are there
            assert [json.loads(process.stdout.readline())["text"] for _ in texts] == texts
        process.stdin.close()
        assert process.stdout.read() == b""
    assert process.returncode == 0


def test_what_a_record_brought_is_kept_under_another_name() -> None:
    given = {"text": "you damn fool", "spans": [[0, 3, "gold"]], "scores": {"mine": 0.1}, "unscored": "before"}
    (once,) = scored(given, spans=True)
    assert once["spans_before"] == given["spans"] and once["scores_before"] == given["scores"]
    assert once["unscored_before"] == "before" and "unscored" not in once and once["scores"].keys() == {"toxicity"}
    (twice,) = scored(once)
    assert twice["scores_before_2"] == once["scores"] == twice["scores"] and twice["scores_before"] == given["scores"]
    assert twice["spans"] == once["spans"]  # spans were not asked for


def test_what_is_written_is_json_whatever_the_numbers_that_came() -> None:
    line = b'{"text": "a", "x": NaN, "y": [-Infinity, 1e400], "id": 123456789012345678901234567890}'
    options = {"spans": False, "all_spans": False, "tagger": "words", "attribute": None, "passage": 200}
    (out,) = prepare("profanity", **options).lines([[line]])  # type: ignore[arg-type]
    record = json.loads(out, parse_constant=pytest.fail)
    assert (record["x"], record["y"], record["id"]) == (None, [None, None], 123456789012345678901234567890)


@pytest.mark.parametrize("depth", [700, 960, 990, 5000, 100_000])
def test_a_deep_line_comes_back_or_is_named(depth: int) -> None:
    line = b'{"text": "a", "x": ' + b"[" * depth + b"]" * depth + b"}"
    options = {"spans": False, "all_spans": False, "tagger": "words", "attribute": None, "passage": 200}
    lines = prepare("profanity", **options).lines([[b'{"text": "fine"}', line]])  # type: ignore[arg-type]
    assert json.loads(next(lines))["text"] == "fine"
    try:
        assert json.loads(next(lines))["text"] == "a"
    except DataError as error:
        assert str(error) == "standard input:2: nested too deep" and depth > 900


def test_an_unscored_text_has_no_spans_either() -> None:
    (unscored,) = scored({"text": "\0damn\0"}, spans=True)
    assert unscored["spans"] is None and unscored["scores"] == {"toxicity": None} and "NUL" in unscored["unscored"]
