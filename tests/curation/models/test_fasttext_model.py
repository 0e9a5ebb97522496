"""fastText models: probabilities of every label, equal on repetition, and foreign files refused.

Covers curation.models.fasttext.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from curation.models.fasttext import FasttextTraining, fasttext_digest, load_fasttext, one_line, train_fasttext
from infra.errors import InputError

_ROWS = [(text, [label]) for text, label in (("you stupid idiot", "toxic"), ("a fine sunny day", "clean")) * 40]
_TRAINING = FasttextTraining(dim=4, bucket=100, epoch=10)


@pytest.fixture(scope="module")
def model_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_fasttext(_ROWS, _TRAINING, tmp_path_factory.mktemp("fasttext") / "model.bin").path


def test_it_tells_what_it_learned_apart(model_file: Path) -> None:
    model = load_fasttext(model_file)
    assert sorted(model.labels) == ["clean", "toxic"]
    table = model.probabilities(["stupid idiot", "sunny day"])
    assert table[0, model.column_of("toxic")] > 0.9 and table[1, model.column_of("__label__clean")] > 0.9
    np.testing.assert_allclose(table.sum(1), 1, atol=1e-3)
    assert model.probabilities([]).shape == (0, 2)


def test_training_again_gives_the_same_bytes_and_leaves_nothing_behind(model_file: Path, tmp_path: Path) -> None:
    train_fasttext(_ROWS, _TRAINING, tmp_path / "again.bin")
    assert fasttext_digest(tmp_path / "again.bin") == fasttext_digest(model_file)
    assert os.listdir(tmp_path) == ["again.bin"]


def test_another_model_at_the_same_path_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "model.bin"
    first = train_fasttext(_ROWS, _TRAINING, path).probabilities(["you"])
    turned = [(text, ["clean" if labels == ["toxic"] else "toxic"]) for text, labels in _ROWS]
    train_fasttext(turned, _TRAINING, path)
    model = load_fasttext(path)
    assert np.abs(model.probabilities(["stupid idiot"])[0, model.column_of("clean")] - 1) < 0.1
    assert first.shape == (1, 2)


@pytest.mark.parametrize(
    "text", ["", "\n\n", "a\nb", "\x00", "\ud800 lone", "שלום 🙂", "day </s> idiot", "__label__toxic"]
)
def test_any_text_has_probabilities(model_file: Path, text: str) -> None:
    table = load_fasttext(model_file).probabilities([text])
    assert np.isfinite(table).all() and (table >= 0).all() and (table <= 1).all()


def test_a_sign_for_the_end_of_a_text_does_not_hide_what_follows(model_file: Path) -> None:
    model = load_fasttext(model_file)
    hidden, open_ = model.probabilities(["fine </s> stupid idiot idiot idiot", "fine stupid idiot idiot idiot"])
    np.testing.assert_allclose(hidden, open_, atol=0.2)
    assert one_line("a </s> b") == "a < /s> b"


def test_what_is_no_classifier_is_refused(tmp_path: Path, model_file: Path) -> None:
    with pytest.raises(InputError, match=r"absent.bin: no such file"):
        load_fasttext(tmp_path / "absent.bin")
    (tmp_path / "text.bin").write_text("hello")
    with pytest.raises(InputError, match=r"text.bin: not a fastText model"):
        load_fasttext(tmp_path / "text.bin")
    with pytest.raises(InputError, match=r'no label "toxi"; it has .*did you mean "toxic"'):
        load_fasttext(model_file).column_of("toxi")
    with pytest.raises(InputError, match="at least two labels"):
        train_fasttext([("a", ["one"])], _TRAINING, tmp_path / "one.bin")
