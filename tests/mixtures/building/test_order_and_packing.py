"""Order of documents and packing: declared in the mixture, kept in its files, told to the trainer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from infra.errors import InputError
from mixtures.reading.built import BuiltMixture
from mixtures.spec.mixture import MixtureSpec
from mixtures.stage import MIXTURE
from tests.helpers.tagged_corpora import Doc, build, mixture_data, mixture_spec, risky_documents, write_curation


@pytest.fixture(scope="module")
def curated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus in which every document has a toxicity of its own."""
    texts = [document.text for document in risky_documents(60)]
    documents = [Doc(f"d{n}", text, scores={"toxicity": (n * 37 % 60) / 100}, spans=[]) for n, text in enumerate(texts)]
    return write_curation(tmp_path_factory.mktemp("order") / "demo", {"clean": documents}, shard_size=25)


def ordered(curated: Path, folder: Path, order: object) -> tuple[BuiltMixture, list[dict[str, Any]]]:
    components = {"clean": {"corpus": "clean", "tokens": 5000, "max_epochs": 3, "order": order}}
    spec = mixture_spec(curated, components=components, hold_out={"clean": 400})
    mixture = build(spec, folder, curated.parent / "store")
    return mixture, pq.read_table(mixture.path / "documents.parquet").to_pylist()


def test_order_changes_the_order_and_not_the_documents(curated: Path, tmp_path: Path) -> None:
    shuffled, rows = ordered(curated, tmp_path / "s", "shuffled")
    expected = sorted((row["id"], row["epoch"], row["tokens"]) for row in rows)
    assert shuffled.component("clean").shuffled and {row["epoch"] for row in rows} >= {0, 1}
    number = {row["id"]: int(row["id"][1:]) for row in rows}
    score = {document: position * 37 % 60 for document, position in number.items()}
    for order, key in (
        ("corpus", number),
        ({"by": "toxicity"}, score),
        ({"by": "toxicity", "descending": True}, {document: -value for document, value in score.items()}),
    ):
        mixture, rows = ordered(curated, tmp_path / f"{order}".replace("'", ""), order)
        assert not mixture.component("clean").shuffled
        assert sorted((row["id"], row["epoch"], row["tokens"]) for row in rows) == expected
        sort_keys = [(row["epoch"], key[row["id"]]) for row in rows]
        assert sort_keys == sorted(sort_keys)


def test_an_order_by_a_score_that_is_not_there_is_refused(curated: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"order: .* no score 'toxcity'; it has toxicity; did you mean"):
        ordered(curated, tmp_path / "m", {"by": "toxcity"})


def test_packing_is_in_the_artifact_and_defaults_change_nothing(curated: Path, tmp_path: Path) -> None:
    components = {"clean": {"corpus": "clean", "tokens": 500}}

    def spec(**changes: object) -> MixtureSpec:
        return MixtureSpec.model_validate(mixture_data(curated, components=components, hold_out={}, **changes))

    together = spec(packing={"together": "all", "reset_attention": True})
    mixture = build(together, tmp_path / "m", curated.parent / "store")
    assert mixture.packing == together.packing
    default = MIXTURE.fingerprint(spec(packing={"together": "component"}))
    assert default == MIXTURE.fingerprint(spec()) != MIXTURE.fingerprint(together)
