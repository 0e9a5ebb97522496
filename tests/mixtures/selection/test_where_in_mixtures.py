"""`where` over what only a mixture knows: a document's share of risky tokens, beside its spans and its language.

Covers mixtures.selection.resolve, mixtures.selection.risky_share and mixtures.corpora.columns.
"""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from infra.errors import DataError, InputError
from mixtures.formats import risk
from mixtures.planning.plan import plan_mixture
from mixtures.reading.built import BuiltMixture
from tests.helpers.tagged_corpora import Doc, build, clean_documents, mixture_spec, risky_documents, write_curation


@pytest.fixture(scope="module")
def curated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forum posts of which every third is in German, and of which every fourth has two spans."""
    forum = risky_documents(60)
    for number, document in enumerate(forum):
        document.metadata["language"] = "de" if number % 3 == 0 else "en"
        if number % 4 == 0:
            document.text += " you fool"
            document.spans.append((len(document.text) - 8, len(document.text), "toxicity", 0.7))
    corpora = {"clean": clean_documents(60), "forum": forum}
    return write_curation(tmp_path_factory.mktemp("where") / "demo", corpora, shard_size=25)


def taken(mixture: BuiltMixture) -> dict[str, dict[str, object]]:
    """Rows of documents.parquet of the risky component, by document."""
    rows = pq.read_table(mixture.path / "documents.parquet").to_pylist()
    return {row["id"]: row for row in rows if row["component"] == "risky"}


def built(curated: Path, folder: Path, where: str | None, **changes: object) -> BuiltMixture:
    forum = {"corpus": "forum", "tokens": "all", **({"where": where} if where else {})}
    components = {"clean": {"corpus": "clean", "tokens": 100}, "risky": forum}
    spec = mixture_spec(curated, components=components, hold_out={}, **changes)
    return build(spec, folder, curated.parent / "store")


def test_the_share_of_risky_tokens_is_that_of_the_files(curated: Path, tmp_path: Path) -> None:
    everything = built(curated, tmp_path / "all", None)
    tokens, levels = everything.component("risky").open()
    expected = {0.5: set(), 0.95: set()}
    for row, first, size in zip(taken(everything).values(), tokens.starts, tokens.lengths, strict=False):
        for threshold, ids in expected.items():
            if risk.at_or_above(levels.tokens[first : first + size], threshold).mean() >= 0.2:
                ids.add(row["id"])
    half = built(curated, tmp_path / "half", "risky_share >= 0.2")
    high = built(curated, tmp_path / "high", "risky_share(0.95) >= 0.2")
    assert set(taken(half)) == expected[0.5] and set(taken(high)) == expected[0.95]
    assert 0 < len(expected[0.95]) < len(expected[0.5]) < len(taken(everything))


def test_spans_and_language_choose_documents(curated: Path, tmp_path: Path) -> None:
    mixture = built(curated, tmp_path / "m", 'language == "de" and spans.count >= 2 and spans.min < 0.8')
    assert set(taken(mixture)) == {f"risky-{number}" for number in range(60) if number % 12 == 0}


def test_a_plan_before_tokenising_guesses_the_share_from_the_spans(curated: Path, tmp_path: Path) -> None:
    components = {
        "clean": {"corpus": "clean", "tokens": 100},
        "risky": {"corpus": "forum", "tokens": "all", "where": "risky_share >= 0.2"},
    }
    spec = mixture_spec(curated, components=components, hold_out={})
    documents = {row[0]: row[5] for row in plan_mixture(spec, tmp_path / "nothing").tables[0].rows}
    assert 5 < documents["risky"] < 55


def test_a_document_without_language_or_tags_stops_the_build(tmp_path: Path) -> None:
    forum = [*risky_documents(10), Doc("untagged", "a line", spans=None)]
    curated = write_curation(tmp_path / "demo", {"clean": clean_documents(60), "forum": forum})
    with pytest.raises(DataError, match=r"00000.parquet:0: .* no metadata 'language'.*put the step `language`"):
        built(curated, tmp_path / "m", 'language == "en"', risk=None)
    with pytest.raises(DataError, match=r"00000.parquet:10: the document was never tagged.*spans.count"):
        built(curated, tmp_path / "n", "spans.count < 5", risk=None)


def test_an_unknown_name_is_told_with_those_there_are(curated: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no score 'risky_shre'; it has .*did you mean .risky_share"):
        built(curated, tmp_path / "m", "risky_shre < 0.5")
