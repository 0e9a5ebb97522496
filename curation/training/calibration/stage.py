"""The stage `calibration`: a scorer and stored reference scores in, curves and their error before and after out."""

from __future__ import annotations

import json
from functools import partial
from itertools import compress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curation.corpus.records import RawDocument
from curation.models.calibration import FILE
from curation.scorers import Scorer, load_scorer, weights_of
from curation.scoring.resolve import resolved
from curation.scoring.unscored import LeftOut, why_unscored
from curation.sources.bad_lines import BadLines, Reader
from curation.sources.extract import UnreadableError
from curation.sources.input_files import content_of
from curation.training.calibration.fit import (
    CalibrationRecord,
    FittedCurve,
    at_half,
    errors,
    fit_curve,
    gain_of,
    order_of,
)
from curation.training.calibration.spec import CalibrationSpec, ReferenceSpec
from curation.training.held_out import is_held_out
from infra.artifacts.artifact import Artifact
from infra.artifacts.fingerprint import digest
from infra.artifacts.records import read_record, to_json
from infra.atomic import write_json
from infra.errors import InputError
from infra.render.html import table_html
from infra.render.page import Page, Plan, Table
from infra.stages.stage import Identity, Stage, Workspace

_BATCH = 256
_FEWEST = 50  # texts on either side of the split below which a curve says nothing


def identity(spec: CalibrationSpec) -> Identity:
    """Settings, content of the references, weights of the scorer."""
    definite = resolved(spec)
    inputs = {f"references[{number}]": digest(content_of(reference.source))
              for number, reference in enumerate(spec.references)}  # fmt: skip
    return Identity(definite.identity(), {"scorer": weights_of(definite.scorer), **inputs})


def run(spec: CalibrationSpec, workspace: Workspace) -> dict[str, Any]:
    """Score the texts, fit, measure, write. Raises InputError, UnavailableError, DataError, ScoringError."""

    spec = resolved(spec)
    scorer = load_scorer(spec.scorer)
    attributes = _referenced(spec, scorer.attributes)
    bad = BadLines(spec.max_bad_share)
    texts, references = _read(spec, attributes, bad.read)
    bad.weigh("references", workspace)
    texts, references = _scorable(scorer, texts, references, workspace)
    with workspace.progress(f"calibrating {scorer.identity}", len(texts), "texts") as advance:
        batch_scores = []
        for start in range(0, len(texts), _BATCH):
            batch_scores.append(scorer.score(texts[start : start + _BATCH]))
            advance(len(batch_scores[-1]))
    scores = np.concatenate(batch_scores).astype(np.float64)
    held_out = np.array([is_held_out(text, spec.held_out, spec.seed) for text in texts])
    columns = [scorer.attributes.index(name) for name in attributes]
    fitted = {name: _fit(name, scores[:, column], np.array(references[name], dtype=np.float64), held_out, spec.seed)
              for name, column in zip(attributes, columns, strict=True)}  # fmt: skip
    record = CalibrationRecord(scorer=scorer.identity, weights=weights_of(spec.scorer), attributes=fitted)
    write_json(workspace.path / FILE, to_json(record))
    counts: dict[str, Any] = {"texts": len(texts)}
    for name, curve in fitted.items():
        counts[name] = {"fitted_on": curve.fitted_on, "held_out": curve.held_out, "unscored": curve.unscored}
    return counts


def _referenced(spec: CalibrationSpec, attributes: tuple[str, ...]) -> list[str]:
    """Attributes that have a reference somewhere. Raises InputError for one that the scorer does not give."""
    names = list(dict.fromkeys(name for reference in spec.references for name in reference.scores))
    if unknown := [name for name in names if name not in attributes]:
        raise InputError(f'the scorer {spec.scorer.name} has no "{unknown[0]}"; it has {", ".join(attributes)}')
    return names


def _read(
    spec: CalibrationSpec, attributes: list[str], read: Reader
) -> tuple[list[str], dict[str, list[float | None]]]:
    """Texts, and for each attribute their reference scores; None where a text has none."""
    texts: list[str] = []
    references: dict[str, list[float | None]] = {name: [] for name in attributes}
    for reference in spec.references:
        keep = tuple(dict.fromkeys((*reference.source.keep, *reference.scores.values())))
        stored = partial(_stored, reference=reference, names=attributes)
        for document in read(reference.source.model_copy(update={"keep": keep}), None, stored):
            texts.append(document.text)
            for name, value in zip(attributes, stored(document), strict=True):
                references[name].append(value)
    return texts, references


def _scorable(
    scorer: Scorer, texts: list[str], references: dict[str, list[float | None]], workspace: Workspace
) -> tuple[list[str], dict[str, list[float | None]]]:
    """Those that the scorer can tell something about: what it says of others would bend the curve."""
    left_out = LeftOut()
    takes = [left_out.takes(why_unscored(text, scorer)) for text in texts]
    left_out.tell(scorer.identity, workspace)
    return list(compress(texts, takes)), {name: list(compress(scores, takes)) for name, scores in references.items()}


def _stored(document: RawDocument, reference: ReferenceSpec, names: list[str]) -> list[float | None]:
    """The stored scores; RealToxicityPrompts has texts that Perspective gave none. Raises UnreadableError for what is
    no score.
    """
    return [_score(document, reference.scores.get(name)) for name in names]


def _score(document: RawDocument, key: str | None) -> float | None:
    value = document.metadata.get(key) if key else None
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
        shown = json.dumps(value, ensure_ascii=False)[:80]
        raise UnreadableError(f'"{key}" is {shown}; a reference score is a number in [0, 1]')
    return float(value)


def _fit(
    name: str, scores: NDArray[np.float64], references: NDArray[np.float64], held_out: NDArray[np.bool_], seed: int
) -> FittedCurve:
    """Curve and errors of one attribute, from scores and references [texts]; NaN where there is no reference."""
    known = np.isfinite(references)
    fit, test = known & ~held_out, known & held_out
    if min(fit.sum(), test.sum()) < _FEWEST:
        counted = f"{fit.sum()} texts to fit and {test.sum()} held out"
        raise InputError(f"{name}: {counted} have a reference score; at least {_FEWEST} of each are needed")
    curve = fit_curve(scores[fit], references[fit])
    before, truth = scores[test], references[test]
    after = curve.apply(before).astype(np.float64)
    spearman, auc = order_of(before, truth)
    return FittedCurve(
        x=curve.x, y=curve.y, fitted_on=int(fit.sum()), held_out=int(test.sum()), unscored=int((~known).sum()),
        before=errors(before, truth), after=errors(after, truth), gain=gain_of(before, after, truth, seed),
        at_half=at_half(curve, scores[fit], references[fit], seed), spearman=spearman, auc=auc,
    )  # fmt: skip


def plan(spec: CalibrationSpec) -> Plan:
    """Which scorer, which references."""
    rows = tuple((reference.source.path, ", ".join(f"{name}: {key}" for name, key in reference.scores.items()))
                 for reference in spec.references)  # fmt: skip
    note = f"{spec.held_out:.0%} of the texts are held out; the curve is fitted to the others"
    return Plan(f"calibration {spec.name} of {spec.scorer.name}", (Table("References", ("texts", "scores"), rows),),
                (note,))  # fmt: skip


def show(artifact: Artifact) -> Page:
    """Errors before and after, by attribute."""
    record = read_record(CalibrationRecord, artifact.path / FILE)
    rows = tuple(_row(name, fitted) for name, fitted in record.attributes.items())
    columns = ("attribute", "fitted on", "held out", "MAE before", "MAE after", "its fall, 95 %", "RMSE before",
               "RMSE after", "ECE before", "ECE after")  # fmt: skip
    table = Table(f"Error of {record.scorer} on held-out texts", columns, rows)
    halves = Table(f"What {record.scorer} means", ("attribute", "0.5 is on the references' scale, 95 %", "Spearman",
                   "AUC of references ≥ 0.5"), tuple(_half_row(*its) for its in record.attributes.items()))  # fmt: skip
    return Page(f"calibration {artifact.config['name']}", (halves, table), table_html(halves) + table_html(table))


def _half_row(name: str, fitted: FittedCurve) -> tuple[object, ...]:
    half = fitted.at_half
    return name, f"{half.value:.2f} [{half.low:.2f}, {half.high:.2f}]", fitted.spearman, fitted.auc


def _row(name: str, fitted: FittedCurve) -> tuple[object, ...]:
    before, after, gain = fitted.before, fitted.after, fitted.gain
    interval = f"{gain.mae:.4f} [{gain.low:.4f}, {gain.high:.4f}]"
    return (name, fitted.fitted_on, fitted.held_out, before.mae, after.mae, interval, before.rmse, after.rmse,
            before.ece, after.ece)  # fmt: skip


CALIBRATION: Stage[CalibrationSpec] = Stage("calibration", 3, CalibrationSpec, identity, run, plan, show)
