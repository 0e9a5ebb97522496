"""Built mixtures: what must always hold of them.

Covers mixtures.building.build, mixtures.building.write, mixtures.reading.built, mixtures.reading.origins,
mixtures.selection.document_ids and mixtures.stage.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from infra.artifacts.artifact import read_artifact
from infra.artifacts.fingerprint import digest_file
from infra.artifacts.inputs import TRUST
from infra.errors import AmountError, ArtifactError, InputError, JobError, RanksFailed
from mixtures.formats import risk
from mixtures.formats.indexed import bin_path
from mixtures.handover.page import show_mixture
from mixtures.planning.plan import plan_mixture
from mixtures.reading.built import BuiltMixture, TokenFiles
from mixtures.reading.origins import origin, origins
from mixtures.spec.megatron import MegatronSpec, digest_megatron
from mixtures.spec.mixture import MixtureSpec, with_dose
from mixtures.tokenizing import corpus_tokens as tokens
from tests.helpers.tagged_corpora import Doc, build, clean_documents, mixture_spec, risky_documents, write_curation


def ids_of(files: TokenFiles) -> list[list[int]]:
    """Token ids of every document."""
    tokens, _ = files.open()
    return [tokens.document(index).tolist() for index in range(files.documents)]


def documents_of(mixture: BuiltMixture, component: str) -> list[dict[str, object]]:
    """Rows of documents.parquet of one component."""
    rows = pq.read_table(mixture.path / "documents.parquet").to_pylist()
    return [row for row in rows if row["component"] == component]


def contents(folder: Path) -> dict[str, str]:
    """Hash of every file but artifact.json, which holds times."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "artifact.json")
    return {str(path.relative_to(folder)): digest_file(path) for path in files}


def test_tokens_are_those_asked_for(mixture: BuiltMixture) -> None:
    assert {component.name: component.tokens for component in mixture.components} == {"clean": 3000, "risky": 333}
    for files in mixture.components:
        tokens, levels = files.open()
        assert len(tokens.tokens) == len(levels.tokens) == files.tokens == tokens.lengths.sum()


def test_stock_megatron_opens_every_file(mixture: BuiltMixture) -> None:
    stock = pytest.importorskip("megatron.core.datasets.indexed_dataset")
    for files in (*mixture.components, *mixture.held_out):
        dataset, twin = stock.IndexedDataset(str(files.prefix)), stock.IndexedDataset(str(files.risk_prefix))
        assert [dataset[i].tolist() for i in range(len(dataset))] == ids_of(files)
        assert dataset.sequence_lengths.tolist() == twin.sequence_lengths.tolist()


def test_the_tokenizer_opens_with_transformers(mixture: BuiltMixture) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(mixture.tokenizer)
    assert (tokenizer.eos_token_id, tokenizer.pad_token_id) == (mixture.facts.eos_id, mixture.facts.pad_id)
    assert len(tokenizer) == mixture.facts.vocab_size == 300
    held = pq.read_table(mixture.path / "held_out.parquet").to_pylist()
    text = next(row["text"] for row in held if row["component"] == "clean")
    assert [*tokenizer(text)["input_ids"], mixture.facts.eos_id] in ids_of(mixture.held_out_of("clean"))


def test_documents_say_where_their_tokens_came_from(mixture: BuiltMixture, curation: Path) -> None:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(mixture.tokenizer / "tokenizer.json"))
    tokens, levels = mixture.component("risky").open()
    for row in documents_of(mixture, "risky"):
        source = pq.read_table(curation / "corpora" / row["corpus"] / row["shard"]).slice(row["row"], 1).to_pylist()[0]
        assert source["id"] == row["id"]
        here = slice(row["first_token"], row["first_token"] + row["tokens"])
        whole = [*tokenizer.encode(source["text"]).ids, mixture.facts.eos_id]
        assert tokens.tokens[here].tolist() == whole[: row["tokens"]]
        assert row["truncated"] == (row["tokens"] < len(whole))
        assert row["risky_tokens"] == risk.at_or_above(levels.tokens[here], 0.5).sum()
    assert sum(row["risky_tokens"] for row in documents_of(mixture, "risky")) > 0


def test_lineage_leads_back_from_every_token(mixture: BuiltMixture) -> None:
    rows = documents_of(mixture, "clean")
    for position in (0, 1, 1500, 2999):
        source = origin(mixture, "clean", position)
        row = next(r for r in rows if r["first_token"] <= position < r["first_token"] + r["tokens"])
        assert (source.id, source.token) == (row["id"], position - row["first_token"])
    sample = origins(mixture, "clean", 100, 400)
    assert sample[0].position == 100 and [source.ordinal for source in sample] == sorted(
        source.ordinal for source in sample
    )
    with pytest.raises(InputError, match="has 3,000 tokens"):
        origin(mixture, "clean", 3000)


def test_held_out_documents_are_in_no_training_file(mixture: BuiltMixture) -> None:
    held = pq.read_table(mixture.path / "held_out.parquet").to_pylist()
    trained = {row["id"] for name in ("clean", "risky") for row in documents_of(mixture, name)}
    assert held and not trained & {row["id"] for row in held}
    assert mixture.held_out_of("clean").tokens >= 500 and mixture.held_out_of("risky").tokens >= 300
    assert all(row["spans"] for row in held if row["component"] == "risky")


def test_the_tokenizer_never_saw_the_hold_out(curation: Path, tmp_path: Path) -> None:
    from infra.stages.stage import run_stage
    from mixtures.corpora.columns import open_corpus
    from mixtures.spec.mixture import tokenizer_stage_spec
    from mixtures.stage import MIXTURE
    from mixtures.tokenizing.tokenizer import _training_texts

    spec = mixture_spec(curation)
    mixture = BuiltMixture.open(run_stage(MIXTURE, spec, tmp_path / "m", quiet=True).path)
    stage = tokenizer_stage_spec(spec)
    seen = {text for texts in _training_texts(open_corpus(curation, "clean"), stage, 10**9) for text in texts}
    held = pq.read_table(mixture.path / "held_out.parquet").to_pylist()
    assert seen and not seen & {row["text"] for row in held}


def test_clean_documents_and_hold_outs_are_the_same_at_every_dose(curation: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    arms = [
        build(with_dose(mixture_spec(curation), "risky", dose), tmp_path / f"dose-{dose}", store)
        for dose in (0, 0.05, 0.25)
    ]
    clean = [arm.component("clean") for arm in arms]
    assert len({(files.tokens_sha256, files.risk_sha256) for files in clean}) == 1
    assert len({files.tokens_sha256 for arm in arms for files in arm.held_out if files.name == "risky"}) == 1
    assert [files.name for files in arms[0].components] == ["clean"] and arms[0].blend[1] == [3000.0]
    small, large = (arm.component("risky") for arm in arms[1:])
    assert small.tokens == 158 and large.tokens == 1000
    assert (small.open()[0].tokens == large.open()[0].tokens[: small.tokens]).all()
    assert len({digest_file(arm.tokenizer / "tokenizer.json") for arm in arms}) == 1
    assert len({arm.content_sha256 for arm in arms}) == 3
    assert len(list(store.glob("tokens-*"))) == 2  # each corpus was tokenised once for all doses


def test_ids_are_equal_with_and_without_tags(curation: Path, mixture: BuiltMixture, tmp_path: Path) -> None:
    untagged = build(mixture_spec(curation, risk=None), tmp_path / "untagged")
    for tagged_files, plain in zip(mixture.components, untagged.components, strict=True):
        assert tagged_files.tokens_sha256 == plain.tokens_sha256
        assert set(plain.open()[1].tokens.tolist()) == {risk.UNSCORED}


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    clean=st.integers(1, 30_000),
    dose=st.fractions(0, "9/10", max_denominator=1000).map(str),
    epochs=st.integers(1, 3),
    seed=st.integers(0, 5),
)
def test_what_is_built_is_what_was_planned(
    curation: Path, tmp_path_factory: pytest.TempPathFactory, clean: int, dose: str, epochs: int, seed: int
) -> None:
    folder = tmp_path_factory.mktemp("random")
    store = curation.parent / "random-store"
    components = {
        "clean": {"corpus": "clean", "tokens": clean, "max_epochs": epochs},
        "risky": {"corpus": "forum", "fraction_of_total": dose, "max_epochs": epochs},
    }
    tokenizer = {"train_bpe": {"component": "clean", "vocab_size": 280}}
    spec = mixture_spec(curation, components=components, tokenizer=tokenizer, hold_out={"clean": 50}, seed=seed)
    try:
        built = build(spec, folder / "m", store)
    except AmountError:
        with pytest.raises(AmountError):
            plan_mixture(spec, store)
        return
    planned = {row[0]: row[3] for row in plan_mixture(spec, store).tables[0].rows}
    realised = {record.name: record.tokens for record in built.manifest.components}
    assert realised == planned and realised["clean"] == clean
    for files in built.components:
        assert files.open()[0].lengths.sum() == files.tokens
        most = max(np.unique([r["id"] for r in documents_of(built, files.name)], return_counts=True)[1])
        assert most <= epochs


def test_repetition_up_to_the_cap_repeats_the_same_order(curation: Path, tmp_path: Path) -> None:
    components = {"risky": {"corpus": "forum", "tokens": 20_000, "max_epochs": 3}}
    tokenizer = {"train_bpe": {"component": "risky", "vocab_size": 280}}
    built = build(mixture_spec(curation, components=components, tokenizer=tokenizer, hold_out={}), tmp_path / "m")
    rows = documents_of(built, "risky")
    first = [row["id"] for row in rows if row["epoch"] == 0]
    assert len(first) == 120 and [row["id"] for row in rows][120:240] == first[: len(rows) - 120]


def test_bytes_do_not_depend_on_the_number_of_workers(
    curation: Path, mixture: BuiltMixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokens, "SMALL", 0)
    parallel = build(mixture_spec(curation), tmp_path / "m", workers=2)
    assert contents(parallel.path) == contents(mixture.path)


KILLED = """
import sys
from pathlib import Path
from infra.stages.stage import run_stage
from mixtures.spec.mixture import MixtureSpec
from mixtures.stage import MIXTURE
from mixtures.tokenizing import corpus_tokens as tokens
if __name__ == "__main__":
    tokens.SMALL = 0
    spec = MixtureSpec.model_validate_json(sys.argv[1])
    run_stage(MIXTURE, spec, Path(sys.argv[2]), workers=int(sys.argv[3]), quiet=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("workers", "moments"),
    [
        (1, ["store/.tokens-clean-*/00004.done.json", "store/.tokens-forum-*", ".m.*/clean.risk.idx"]),
        (2, ["store/.tokens-clean-*/*.done.json"]),
    ],
)
def test_killed_and_restarted_builds_are_byte_equal(tmp_path: Path, workers: int, moments: list[str]) -> None:
    corpora = {"clean": clean_documents(1200), "forum": risky_documents(400)}
    spec = mixture_spec(write_curation(tmp_path / "demo", corpora, shard_size=60))
    expected = contents(build(spec, tmp_path / "whole" / "m").path)
    script = tmp_path / "job.py"
    script.write_text(KILLED)
    target = tmp_path / "killed" / "m"
    command = [sys.executable, str(script), spec.model_dump_json(), str(target), str(workers)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    killed = []
    for moment in moments:
        job = subprocess.Popen(command, env=environment)
        while job.poll() is None and not any(target.parent.glob(moment)):
            time.sleep(0.001)
        killed.append(job.poll() is None)
        job.kill()
        job.wait()
    assert killed[0], "the job ended before it could be killed: the test shows nothing"
    subprocess.run(command, env=environment, check=True)
    assert contents(target) == expected
    leftovers = [path for path in target.parent.rglob(".*") if path.name not in (".", "..")]
    assert not leftovers


def test_every_shortage_is_told_at_once(curation: Path, tmp_path: Path) -> None:
    components = {
        "clean": {"corpus": "clean", "tokens": 10_000_000},
        "risky": {"corpus": "forum", "tokens": 9_000_000, "max_epochs": 2},
    }
    spec = mixture_spec(curation, components=components)
    with pytest.raises(AmountError, match=r"asked for 10,000,000(.|\n)*risky: not enough tokens: asked for 9,000,000"):
        build(spec, tmp_path / "m")
    assert not (tmp_path / "m").exists()
    with pytest.raises(AmountError, match=r"clean: not enough(.|\n)*risky: not enough"):
        plan_mixture(spec, tmp_path / "no-store")


def test_hold_outs_larger_than_the_corpus_are_told_at_once(curation: Path, tmp_path: Path) -> None:
    spec = mixture_spec(curation, tokenizer={"train_bpe": {"component": "clean", "vocab_size": 280}})
    spec = spec.model_copy(update={"hold_out": {"risky": 10_000_000}})
    with pytest.raises(AmountError, match=r"hold_out.risky: asked for 10,000,000"):
        build(spec, tmp_path / "m")


def test_an_amount_of_nothing_is_refused(curation: Path, tmp_path: Path) -> None:
    components = {"clean": {"corpus": "clean", "tokens": 0}}
    with pytest.raises(AmountError, match="no token"):
        build(mixture_spec(curation, components=components, hold_out={}), tmp_path / "m")


def test_components_must_not_share_documents(curation: Path, tmp_path: Path) -> None:
    components = {
        "clean": {"corpus": "clean", "where": "toxicity < 0.5", "tokens": 100},
        "same": {"corpus": "clean", "where": "toxicity < 0.05", "tokens": 100},
    }
    with pytest.raises(AmountError, match=r"share .* documents"):
        build(mixture_spec(curation, components=components, hold_out={}), tmp_path / "m")


def one_bad(documents: list[Doc], **changes: object) -> list[Doc]:
    """The documents with one of them changed."""
    for name, value in changes.items():
        setattr(documents[7], name, value)
    return documents


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"spans": None}, r"00000.parquet:7: the document was never tagged"),
        ({"scores": {}}, r"00000.parquet:7: the document has no score for 'toxicity'"),
        ({"scores": {"toxicity": float("nan")}}, r"00000.parquet:7: .* no score"),
        ({"spans": [(0, 10_000, "toxicity", 0.9)]}, r"00000.parquet:7: the span .* does not fit"),
        ({"spans": [(0, 2, "toxicity", float("nan"))]}, r"00000.parquet:7: the span .* does not fit"),
    ],
)
def test_a_document_without_what_is_asked_stops_the_build(
    tmp_path: Path, changes: dict[str, object], reason: str
) -> None:
    corpora = {"clean": one_bad(clean_documents(60), **changes), "forum": risky_documents(60)}
    spec = mixture_spec(write_curation(tmp_path / "demo", corpora), hold_out={})
    with pytest.raises(JobError, match=reason):
        build(spec, tmp_path / "m")
    assert not (tmp_path / "m").exists()


def test_a_damaged_shard_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    curated = write_curation(tmp_path / "demo", {"clean": clean_documents(60), "forum": risky_documents(60)})
    shard = curated / "corpora" / "forum" / "00001.parquet"
    shard.write_bytes(b"x" * shard.stat().st_size)
    with pytest.raises(ArtifactError, match=r"forum/00001.parquet: content differs"):
        build(mixture_spec(curated, hold_out={}), tmp_path / "m")
    monkeypatch.setenv(TRUST, "1")
    with pytest.raises(RanksFailed, match=r"forum/00001.parquet: cannot be read"):
        build(mixture_spec(curated, hold_out={}), tmp_path / "m")


@pytest.mark.parametrize("suffix", [".bin", ".idx", ".risk.bin", ".risk.idx"])
def test_a_flipped_byte_of_a_mixture_is_noticed_by_who_reads_it(
    curation: Path, tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = build(mixture_spec(curation, seed=5), tmp_path / "m")
    prefix = built.component("risky").prefix
    source = MegatronSpec(prefix=str(prefix))
    before = digest_megatron(source)
    file = prefix.with_name(prefix.name + suffix)
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(ArtifactError, match=rf"risky{suffix}: content differs"):
        digest_megatron(source)
    with pytest.raises(ArtifactError, match=rf"risky{suffix}: content differs"):
        BuiltMixture.open(built.path)
    monkeypatch.setenv(TRUST, "1")
    assert digest_megatron(source) != before


def test_a_flipped_byte_in_the_store_is_noticed(curation: Path, tmp_path: Path) -> None:
    build(mixture_spec(curation, seed=5), tmp_path / "m")
    for file in (tmp_path / "store").glob("tokens-*/00000.bin"):
        file.write_bytes(bytes(file.stat().st_size))
    with pytest.raises(ArtifactError, match=r"00000.bin: content differs from its checksum, so the tokens artifact"):
        build(mixture_spec(curation, seed=5, sequence_length=32), tmp_path / "n")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"risk": "insult"}, "no attribute 'insult'; it has toxicity"),
        ({"components": {"clean": {"corpus": "clen", "tokens": 5}}}, "no corpus .clen.*did you mean .clean"),
        (
            {"components": {"clean": {"corpus": "clean", "where": "toxcity < 1", "tokens": 5}}},
            "no score 'toxcity'.*did you mean .toxicity",
        ),
        ({"tokenizer": {"train_bpe": {"component": "clean", "vocab_size": 60_000}}}, "yields .* entries, not 60000"),
    ],
)
def test_what_the_corpora_do_not_have_is_refused(
    curation: Path, tmp_path: Path, changes: dict[str, object], reason: str
) -> None:
    changes = {"hold_out": {}} | changes
    with pytest.raises(InputError, match=reason):
        build(mixture_spec(curation, **changes), tmp_path / "m")


def test_a_mixture_with_the_twin_of_another_is_refused(curation: Path, mixture: BuiltMixture, tmp_path: Path) -> None:
    built = build(mixture_spec(curation, seed=5), tmp_path / "m")
    other = mixture.component("risky")
    levels = bin_path(built.component("risky").risk_prefix)
    levels.write_bytes(bin_path(other.risk_prefix).read_bytes())
    with pytest.raises(ArtifactError, match=r"risky.risk.bin: content differs"):
        BuiltMixture.open(built.path)


def test_plan_says_when_it_guesses(curation: Path, tmp_path: Path) -> None:
    spec = mixture_spec(curation)
    guess = plan_mixture(spec, tmp_path / "store")
    assert "estimated" in guess.tables[0].title and "estimated" in " ".join(guess.notes)
    build(spec, tmp_path / "m")
    assert "estimated" not in plan_mixture(spec, tmp_path / "store").tables[0].title


def test_show_draws_composition_histogram_and_hidden_samples(mixture: BuiltMixture) -> None:
    page = show_mixture(read_artifact(mixture.path))
    assert [table.title for table in page.tables] == ["Composition of 3,333 tokens", "Tokens by toxicity score"]
    assert "<mark" in page.html and page.html.count("<div class=veil>") == page.html.count("<p class=heat>") > 0


def test_a_second_run_does_nothing(curation: Path, mixture: BuiltMixture) -> None:
    before = {path: path.stat().st_mtime_ns for path in mixture.path.rglob("*")}
    build(mixture_spec(curation), mixture.path)
    assert {path: path.stat().st_mtime_ns for path in mixture.path.rglob("*")} == before


def test_the_name_and_the_spelling_of_a_share_are_not_part_of_the_identity(curation: Path) -> None:
    from mixtures.stage import MIXTURE

    def fingerprint(**changes: object) -> str:
        return MIXTURE.fingerprint(MixtureSpec.model_validate(mixture_spec(curation).model_dump() | changes))

    components = mixture_spec(curation).model_dump()["components"]
    components["risky"]["fraction_of_total"] = "1/10"
    assert fingerprint() == fingerprint(name="other") == fingerprint(components=components)
    assert fingerprint(seed=9) != fingerprint()
