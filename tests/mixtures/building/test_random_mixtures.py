"""Whatever a mixture asks for, what is built is what was planned, and what must always hold of it holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks.safety.chaos import contents
from infra.errors import AmountError, RankFailure
from infra.jobs.base import Job
from infra.jobs.local import LocalWorkers
from infra.jobs.rank import run_rank
from mixtures.formats import risk
from mixtures.planning.plan import plan_mixture
from mixtures.reading.built import BuiltMixture
from mixtures.spec.amounts import round_half_up
from mixtures.spec.mixture import MixtureSpec, with_dose
from tests.helpers.tagged_corpora import build, mixture_data

SHARES = st.fractions(0, "2/5", max_denominator=500).map(str)
EPOCHS = st.integers(1, 3)
ORDERS = st.sampled_from(["shuffled", "corpus", {"by": "toxicity"}])
CONDITIONING = st.none() | st.fixed_dictionaries(
    {"prefixes": st.just("toxicity: {toxicity:.1f}\n"), "share": st.sampled_from([0.3, 1.0]),
     "cooldown": st.sampled_from([0, 0.3])}
)  # fmt: skip
SPANS = st.none() | st.fixed_dictionaries({"do": st.sampled_from(["cut", "replace"]), "at_or_above": st.just(0.7)})


@st.composite
def mixtures(draw: st.DrawFn) -> dict[str, Any]:
    """A fixed component, a dose of a second, and perhaps a third that follows one of them."""
    components: dict[str, Any] = {
        "clean": {"corpus": "clean", "where": "toxicity < 0.05", "tokens": draw(st.integers(1, 2500) | st.just("all"))},
        "risky": {"corpus": "forum", "fraction_of_total": draw(SHARES), "risky_spans": draw(SPANS)},
    }
    if draw(st.booleans()):
        ratio = {draw(st.sampled_from(["clean", "risky"])): draw(SHARES)}
        components["other"] = {"corpus": "clean", "where": "toxicity >= 0.05", "fraction_of": ratio}
    for component in components.values():
        component |= {"max_epochs": draw(EPOCHS), "order": draw(ORDERS)}
    return {
        "components": {
            name: {key: value for key, value in component.items() if value} for name, component in components.items()
        },
        "conditioning": draw(CONDITIONING),
        "hold_out": draw(st.sampled_from([{}, {"clean": 60, "risky": 200}])),
        "seed": draw(st.integers(0, 3)),
    }


def documents(mixture: BuiltMixture) -> dict[str, list[tuple[str, int, tuple[int, ...]]]]:
    """Of each component the written documents: id, epoch, and tokens without the prefix."""
    written: dict[str, list[tuple[str, int, tuple[int, ...]]]] = {}
    for row in pq.read_table(mixture.path / "documents.parquet").to_pylist():
        tokens, levels = mixture.component(row["component"]).open()
        prefix = row.get("prefix_tokens", 0)
        assert (levels.document(row["ordinal"])[:prefix] == risk.STRUCTURAL).all()
        ids = tuple(tokens.document(row["ordinal"])[prefix:].tolist())
        written.setdefault(row["component"], []).append((row["id"], row["epoch"], ids))
    return written


def last_first(self: LocalWorkers, job: Job, ranks: list[int]) -> Iterator[tuple[int, RankFailure | None]]:
    """The ranks of a job in an order in which workers may end."""
    for rank in reversed(ranks):
        yield rank, run_rank(job, rank)


@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=mixtures(), smaller=st.fractions(0, 1, max_denominator=9))
def test_a_random_mixture_is_what_was_planned_and_keeps_what_must_hold(
    curation: Path, tmp_path_factory: pytest.TempPathFactory, data: dict[str, Any], smaller: Fraction
) -> None:
    folder, store = tmp_path_factory.mktemp("random"), curation.parent / "random-mixtures"
    tokenizer = {"train_bpe": {"component": "clean", "vocab_size": 270}}
    spec = MixtureSpec.model_validate(mixture_data(curation, **data, tokenizer=tokenizer))
    try:
        built = build(spec, folder / "m", store)
    except AmountError:
        with pytest.raises(AmountError):
            plan_mixture(spec, store)
        return
    _is_as_planned(built, spec, store)
    written = documents(built)
    _keeps_its_caps(written, spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LocalWorkers, "run", last_first)
        rebuilt = build(spec, folder / "again", folder / "store")
    assert contents(rebuilt.path) == contents(built.path)  # whichever rank ends first
    dose = Fraction(data["components"]["risky"].get("fraction_of_total", 0))
    try:
        less = build(with_dose(spec, "risky", str(dose * smaller)), folder / "less", store)
    except AmountError as error:  # of a smaller whole, another component's share may come to nothing
        assert "less than half a token" in str(error)
        return
    _is_nested(documents(less), written)
    if "risky_spans" not in data["components"]["risky"]:
        untagged = {key: value for key, value in data.items() if key != "conditioning"} | {"risk": None}
        plain_spec = MixtureSpec.model_validate(mixture_data(curation, **untagged, tokenizer=tokenizer))
        plain = build(plain_spec, folder / "plain", store)
        assert documents(plain) == written  # ids do not depend on tags or prefixes


def _is_as_planned(built: BuiltMixture, spec: MixtureSpec, store: Path) -> None:
    planned = {row[0]: row[3] for row in plan_mixture(spec, store).tables[0].rows}
    records = built.manifest.components
    realised = {record.name: record.document_tokens for record in records}
    assert realised == planned
    fixed = realised["clean"] if spec.components["clean"].tokens == "all" else spec.components["clean"].tokens
    assert realised["clean"] == fixed
    share = Fraction(spec.components["risky"].fraction_of_total or 0)
    follows = spec.components["other"].amount if "other" in spec.components else None
    on_total = share * (1 + follows.fraction) if follows and follows.of == "risky" else share
    alone = round_half_up(follows.fraction * fixed) if follows and follows.of == "clean" else 0
    assert sum(realised.values()) == round_half_up(Fraction(fixed + alone) / (1 - on_total))
    assert abs(realised["risky"] - share * sum(realised.values())) <= 1


def _keeps_its_caps(written: dict[str, Any], spec: MixtureSpec) -> None:
    for name, rows in written.items():
        assert max(Counter(row[0] for row in rows).values()) <= spec.components[name].max_epochs


def _is_nested(less: dict[str, Any], more: dict[str, Any]) -> None:
    """Clean documents stay, in their order; of the others the smaller dose has some of the larger's."""
    assert less["clean"] == more["clean"]
    for name in less.keys() & more.keys() - {"clean"}:
        have = Counter((document, epoch) for document, epoch, _ in more[name])
        assert not Counter((document, epoch) for document, epoch, _ in less[name]) - have
