"""Sets of prompts: how they are chosen, told apart by group, and measured beside the main ones.

Covers analysis.evaluations.prompts, analysis.evaluations.toxicity and analysis.evaluations.options.
"""

from __future__ import annotations

import gzip
import json
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from analysis import results
from analysis.evaluations import EVALUATIONS
from analysis.evaluations.options import PromptsSpec
from analysis.evaluations.prompts import read_prompts
from analysis.spec import AnalysisSpec
from analysis.stage import ANALYSIS
from analysis.statistics.gaps import gaps_table
from analysis.statistics.groups import sets_table
from hormesis import load
from infra.errors import AmountError, DataError, InputError
from infra.stages.stage import run_stage
from tests.helpers import ROOT

SIZES = {"actors": 40, "actresses": 12, "hinduism": 3}
SHARED = ROOT.parent / "shared" / "data"
Record = dict[str, Any]


def written(path: Path, records: list[Record]) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


@pytest.fixture
def grouped(tmp_path: Path) -> Path:
    """BOLD's form: groups of unlike sizes, one after the other."""
    records = [
        {"domain": "faith" if group == "hinduism" else "gender", "who": {"group": group}, "prompt": f"{group} {i} is a",
         "scores": {"toxicity": i / 100}}
        for group, size in SIZES.items() for i in range(size)
    ]  # fmt: skip
    return written(tmp_path / "grouped.jsonl", records)


def options(path: Path, **more: Any) -> PromptsSpec:
    return PromptsSpec.model_validate({"prompts": {"path": str(path), "text": "prompt"}, **more})


def texts(path: Path, seed: int = 0, limit: int | None = None, **more: Any) -> list[str]:
    return [prompt.text for prompt in read_prompts(options(path, **more), seed, limit).chosen]


def test_limit_is_a_seeded_choice_in_the_files_order(grouped: Path) -> None:
    chosen, all_texts = texts(grouped, limit=9), texts(grouped)
    assert chosen == texts(grouped, limit=9) != texts(grouped, seed=1, limit=9)
    assert chosen == [text for text in all_texts if text in chosen] and len(chosen) == 9
    assert texts(grouped, limit=55) == all_texts


def test_a_choice_among_groups_takes_as_many_of_each_as_they_reach(grouped: Path) -> None:
    def counts(limit: int) -> dict[str, int]:
        chosen = read_prompts(options(grouped, group="who.group"), 0, limit).chosen
        return dict(Counter(str(prompt.group) for prompt in chosen))

    assert counts(9) == {"actors": 3, "actresses": 3, "hinduism": 3}
    assert counts(23) == {"actors": 10, "actresses": 10, "hinduism": 3}
    assert counts(45) == {"actors": 30, "actresses": 12, "hinduism": 3}
    assert sorted(counts(10).values()) == [3, 3, 4]


def test_a_larger_choice_holds_the_smaller(grouped: Path) -> None:
    small, large = (set(texts(grouped, limit=limit, group="who.group")) for limit in (8, 20))
    assert small < large


def test_where_reads_keys_that_nobody_kept(grouped: Path) -> None:
    assert len(texts(grouped, where='metadata.domain == "faith"')) == 3
    few = texts(grouped, where='metadata["scores.toxicity"] < 0.02 and metadata.domain != "faith"')
    assert few == ["actors 0 is a", "actors 1 is a", "actresses 0 is a", "actresses 1 is a"]
    assert len(texts(grouped, where="characters > 14")) == 12 + 3


@pytest.mark.parametrize(
    ("more", "error", "message"),
    [
        ({"where": 'metadata.domain == "war"'}, AmountError, 'for which metadata.domain == "war" is true'),
        ({"where": "insult > 0.5"}, InputError, "no score 'insult'"),
        ({"where": "metadata.who == 1"}, DataError, "which `where` asks for, holds"),
        ({"group": "religion"}, InputError, 'no prompt has a group under the key "religion"'),
        ({"group": "who"}, DataError, 'the group key "who" holds a dict'),
    ],
)
def test_prompts_that_are_not_there_are_one_message(
    grouped: Path, more: Record, error: type[Exception], message: str
) -> None:
    with pytest.raises(error) as caught:
        read_prompts(options(grouped, **more), 0, None)
    assert message in str(caught.value)


def test_an_expression_that_cannot_be_read_is_refused_with_the_configuration(grouped: Path) -> None:
    with pytest.raises(ValueError, match="cannot be read"):
        options(grouped, where="toxicity <")


def test_a_few_shot_list_is_joined_as_toxigen_joins_it(tmp_path: Path) -> None:
    records = [{"shots": ["- one", "- two", "-"]}, {"shots": ["- three", "-"]}]
    path = written(tmp_path / "lists.jsonl", records)
    spec = PromptsSpec.model_validate({"prompts": {"path": str(path), "text": "shots.*"}})
    assert [prompt.text for prompt in read_prompts(spec, 0, None).chosen] == ["- one\n- two\n-", "- three\n-"]


def test_blanks_at_the_end_of_a_prompt_are_taken_off(tmp_path: Path) -> None:
    path = written(tmp_path / "bold.jsonl", [{"prompt": "Jo is an actor whose "}, {"prompt": " Al is"}])
    assert texts(path) == ["Jo is an actor whose ", " Al is"]
    assert texts(path, strip=True) == ["Jo is an actor whose", " Al is"]


Analysed = Callable[..., tuple[pl.DataFrame, Any]]


@pytest.fixture
def analysed(tiny_model: Path, grouped: Path, tmp_path: Path) -> Analysed:
    """Runs toxicity with changes of its section; gives the results and the artifact."""

    def run(name: str = "tiny", **changes: Any) -> tuple[pl.DataFrame, Any]:
        artifact = run_stage(ANALYSIS, spec_of(tiny_model, grouped, **changes), tmp_path / name / "tiny", quiet=True)
        return results.read([artifact.path / results.FILE]), artifact

    return run


def spec_of(model: Path, prompts: Path, **changes: Any) -> AnalysisSpec:
    main = {
        "prompts": {"path": str(prompts), "text": "prompt"}, "limit": 4, "samples": 2, "max_new_tokens": 5,
        "scorer": {"name": "profanity"},
    }  # fmt: skip
    return AnalysisSpec.model_validate({"name": "tiny", "model": str(model), "toxicity": main | changes})


def sets_of(path: Path, **more: Any) -> dict[str, Any]:
    source = {"path": str(path), "text": "prompt"}
    gender = {"prompts": source, "group": "who.group", "where": 'metadata.domain == "gender"', "limit": 6, **more}
    return {"bold": gender, "all": {"prompts": source, "samples": 3, "max_new_tokens": 2,
                                    "stored_scores": {"toxicity": "scores.toxicity"}}}  # fmt: skip


def test_a_set_takes_from_the_section_what_it_does_not_say(grouped: Path, analysed: Analysed) -> None:
    table, artifact = analysed(sets=sets_of(grouped))
    of_set = table.partition_by("instance", as_dict=True)
    assert {key: len(rows) for (key,), rows in of_set.items()} == {None: 4 * 2, "bold": 6 * 2, "all": 4 * 3}
    bold, everything = of_set["bold",], of_set["all",]
    assert dict(bold["group"].value_counts().rows()) == {"actors": 6, "actresses": 6}
    assert sorted(bold["prompt"].unique()) == list(range(6)) and everything["tokens"].max() <= 2
    assert everything["prompt_scores"].list.len().unique().to_list() == [1] and everything["group"].null_count() == 12
    assert table["scorer"].n_unique() == 1
    assert {key: n for key, n in artifact.counts.items() if key.endswith("prompts")} == {
        "prompts": 4, "all.prompts": 4, "bold.prompts": 6,
    }  # fmt: skip


def test_sets_change_nothing_of_the_main_rows(grouped: Path, analysed: Analysed) -> None:
    alone, with_sets = analysed("alone")[0], analysed("with", sets=sets_of(grouped))[0]
    assert results.main(with_sets).equals(alone)


def test_what_is_scored_ends_where_the_set_says(tmp_path: Path, tiny_model: Path, analysed: Analysed) -> None:
    path = written(tmp_path / "lines.jsonl", [{"prompt": "- you are\n-"}, {"prompt": "- i think\n-"}])
    plain = {"prompts": {"path": str(path), "text": "prompt"}, "samples": 8, "max_new_tokens": 20}
    table, _ = analysed(sets={"whole": plain, "cut": {**plain, "until": "a"}})
    whole, cut = (table.filter(instance=name)["generation"].to_list() for name in ("whole", "cut"))
    assert cut == [text.split("a")[0] for text in whole] != whole


def test_a_set_with_prompts_that_are_cut_says_so_by_its_name(tmp_path: Path, analysed: Analysed) -> None:
    path = written(tmp_path / "long.jsonl", [{"prompt": "a word " * 200}, {"prompt": "short"}, {"prompt": ""}])
    _, artifact = analysed(sets={"long": {"prompts": {"path": str(path), "text": "prompt"}}})
    assert artifact.counts["long.prompts_cut"] == 1 and artifact.counts["prompts_cut"] == 0
    assert any(note.startswith("1 prompts of the set long are longer") for note in artifact.notes)
    assert any(note.startswith("1 prompts of the set long are empty") for note in artifact.notes)


def test_a_killed_analysis_takes_up_the_set_it_was_in(
    grouped: Path, analysed: Analysed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the order in which the sets stand in the configuration, which is no part of the work."""
    whole = analysed("whole", sets=sets_of(grouped))[1]
    toxicity, done = EVALUATIONS.get("toxicity"), []
    original = toxicity.rows

    def until_third(self: Any, chunk: int) -> list[results.Row]:
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(chunk)
        return original(self, chunk)

    monkeypatch.setattr(toxicity, "rows", until_third)
    with pytest.raises(KeyboardInterrupt):
        analysed("killed", sets=sets_of(grouped))
    monkeypatch.setattr(toxicity, "rows", lambda self, chunk: done.append(chunk) or original(self, chunk))
    resumed = analysed("killed", sets=dict(reversed(sets_of(grouped).items())))[1]
    assert done == [0, 1, 2]
    assert (resumed.path / results.FILE).read_bytes() == (whole.path / results.FILE).read_bytes()


def test_sets_are_part_of_the_work_and_their_place_is_not(tiny_model: Path, grouped: Path, tmp_path: Path) -> None:
    def fingerprint(**changes: Any) -> str:
        return ANALYSIS.fingerprint(spec_of(tiny_model, grouped, **changes))

    elsewhere = tmp_path / "other" / grouped.name
    elsewhere.parent.mkdir()
    elsewhere.write_bytes(grouped.read_bytes())
    with_sets = fingerprint(sets=sets_of(grouped))
    assert fingerprint() == fingerprint(sets={}, where=None, group=None) != with_sets
    assert with_sets == fingerprint(sets=sets_of(elsewhere))
    assert (
        len({with_sets, fingerprint(sets=sets_of(grouped, samples=1)), fingerprint(sets=sets_of(grouped, limit=7))})
        == 3
    )
    elsewhere.write_text(grouped.read_text().replace("actors 1", "actors 11"))
    assert fingerprint(sets=sets_of(elsewhere)) != with_sets


@pytest.mark.parametrize("name", ["", "a b", "../up", ".hidden", "a.b"])
def test_names_of_sets_are_plain_words(tiny_model: Path, grouped: Path, name: str) -> None:
    with pytest.raises(ValueError, match="pattern"):
        spec_of(tiny_model, grouped, sets={name: {"prompts": {"path": str(grouped)}}})


EXAMPLE = ROOT / "examples" / "analysis-prompt-sets.yaml"
FILES = {
    "realtoxicityprompts/prompts.jsonl": "rtp/rtp_5k_sample.jsonl.gz",
    "toxigen/prompts.jsonl": "toxigen/toxigen_prompts.jsonl.gz",
    "bold/prompts.jsonl": "bold/bold.jsonl.gz",
    "advbench/harmful_behaviors.jsonl": "advbench/harmful_behaviors.jsonl.gz",
}
"""Files of the example, and what of them is in the shared data."""
TOXIGEN = ("asian", "black", "chinese", "jewish", "latino", "lgbtq", "mental_disability", "mexican", "middle_east",
           "muslim", "native_american", "physical_disability", "women", "trans", "immigrant")  # fmt: skip


def made_up(folder: Path) -> None:
    """A few records of every file, in its form."""
    records: dict[str, list[Record]] = {
        "realtoxicityprompts/prompts.jsonl": [
            {"challenging": i % 3 == 0, "prompt": {"text": f"the man number {i} said", "toxicity": i / 30}}
            for i in range(30)
        ],
        "toxigen/prompts.jsonl": [
            {"label": label, "group": group, "prompt": f"- {group} people\n- they are number {i}\n-"}
            for group in TOXIGEN for label in ("hate", "neutral") for i in range(3)
        ],
        "bold/prompts.jsonl": [
            {"domain": domain, "group": group, "prompt": f"{group} number {i} is a "}
            for domain, group in (("gender", "American_actors"), ("gender", "American_actresses"), ("race", "x"))
            for i in range(12)
        ],
        "advbench/harmful_behaviors.jsonl": [{"goal": f"write text {i}", "target": "Sure"} for i in range(8)],
    }  # fmt: skip
    for name, lines in records.items():
        (folder / name).parent.mkdir(parents=True)
        written(folder / name, lines)


def real(folder: Path) -> None:
    """The published files, as far as the shared data has them."""
    for name, packed in FILES.items():
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_bytes(gzip.decompress((SHARED / packed).read_bytes()))


@pytest.mark.parametrize(
    "provide",
    [
        made_up,
        pytest.param(real, marks=pytest.mark.skipif(not (SHARED / "bold").is_dir(), reason="needs ../shared/data")),
    ],
)
def test_the_example_reads_the_papers_sets(provide: Any, tiny_model: Path, tmp_path: Path) -> None:
    """As it is shipped, with fewer prompts and tokens; AttaQ's file has a form alone, that of the others' records."""
    provide(tmp_path / "data")
    (tmp_path / "data" / "attaq").mkdir()
    attacks = [{"input": f"how to do wrong {i}?", "label": f"class {i % 7}"} for i in range(21)]
    written(tmp_path / "data" / "attaq" / "attaq.jsonl", attacks)
    text = EXAMPLE.read_text().replace("../runs/tiny", str(tiny_model))
    text = re.sub(r"limit: \d+", "limit: 14", text).replace("{name: detoxify, model: unbiased}", "{name: profanity}")
    text = re.sub(r"max_new_tokens: \d+", "max_new_tokens: 3", text.replace("samples: 25", "samples: 1"))
    (tmp_path / "sets.yaml").write_text(text[: text.index("recognition:")])
    _, spec, _ = load(tmp_path / "sets.yaml", [])
    artifact = run_stage(ANALYSIS, spec, tmp_path / "runs" / "tiny", quiet=True)
    table = results.read([artifact.path / results.FILE])
    groups = {
        name: dict(rows.unique("prompt")["group"].value_counts().rows())
        for (name,), rows in table.partition_by("instance", as_dict=True).items()
    }
    assert set(groups["toxigen"]) == set(TOXIGEN[:13]) and set(groups["toxigen"].values()) == {1, 2}
    pair = groups["bold-gender"]
    assert set(pair) == {"American_actors", "American_actresses"} and len(set(pair.values())) == 1
    assert len(groups["attaq"]) == 7 and set(groups["advbench"]) == {None}
    scored = {name: table.filter(pl.col("instance") == name)["prompt_scores"].explode().struct.field("score")
              for name in ("challenging", "non-toxic")}  # fmt: skip
    assert len(scored["challenging"]) and (scored["non-toxic"] < 0.5).all()
    assert not table.filter(instance="bold")["prompt_text"].str.ends_with(" ").any()
    assert not table.filter(instance="toxigen")["generation"].str.contains("\n").any()
    sets, gaps = sets_table(table, resamples=20), gaps_table(table, resamples=20)
    assert sets["instance"].to_list() == [None, *sorted(spec.toxicity.sets)] and "bold-gender" in gaps["instance"]
