"""The stage `tagger`: labelled spans, or unlabelled texts and a teacher, in; a token tagger with its card out."""

from __future__ import annotations

from typing import Any

from curation.scoring.resolve import resolved
from curation.sources.input_files import content_of, input_files_of, stored_bytes
from curation.taggers import tagger_inputs
from curation.training.tagger.encoder import encoder_digest
from curation.training.tagger.spec import AnyExamples, DistilSpec, EncoderSpec, LexicalSpec, TaggerTrainingSpec
from infra.artifacts.artifact import Artifact
from infra.artifacts.fingerprint import digest
from infra.render.page import Page, Plan, Table
from infra.stages.stage import Identity, Stage, Workspace


def identity(spec: TaggerTrainingSpec) -> Identity:
    """Settings, contents of examples and tests, weights of encoder and teacher; neither the name nor any path."""
    spec = resolved(spec)
    inputs = {"learn_from": digest([content_of(source) for source in _sources(spec.learn_from)])}
    inputs |= {"clean": digest([content_of(source) for source in spec.clean])} if spec.clean else {}
    inputs |= {f"tests.{name}": digest(content_of(test)) for name, test in spec.tests.items()}
    if isinstance(spec.learn_from, DistilSpec):
        inputs |= {f"teacher.{name}": value for name, value in tagger_inputs(spec.learn_from.tagger).items()}
    if isinstance(spec.model, EncoderSpec):
        inputs["encoder"] = encoder_digest(spec.model)
    # a teacher's unscored texts are left out: another result than that of versions which learnt that they hold no span
    config = {"unscored": "left out"} if isinstance(spec.learn_from, DistilSpec) else {}
    return Identity(spec.identity() | config, inputs)


def _sources(examples: AnyExamples) -> tuple[Any, ...]:
    return examples.sources if isinstance(examples, DistilSpec) else (examples,)


def run(spec: TaggerTrainingSpec, workspace: Workspace) -> dict[str, Any]:
    """Train; see curation.training.tagger.train."""
    from curation.training.tagger.train import run as train

    return train(resolved(spec), workspace)


def plan(spec: TaggerTrainingSpec) -> Plan:
    """What is learnt from what."""
    teacher = spec.learn_from.tagger.name if isinstance(spec.learn_from, DistilSpec) else "people"
    used = [
        ("learn from", _sources(spec.learn_from)),
        ("clean", spec.clean),
        *((f"test {name}", (test,)) for name, test in spec.tests.items()),
    ]
    rows = []
    for what, sources in used:
        for source in sources:
            input_files = input_files_of(source, 0)
            rows.append((what, source.path, len(input_files), stored_bytes(input_files)))
    table = Table("Examples", ("use", "source", "files", "bytes as stored"), tuple(rows))
    settings = ", ".join(f"{key} {value}" for key, value in spec.model.identity().items() if key != "name")
    notes = [f"labelled by {teacher}; {spec.validation:.0%} of the texts held out for threshold, gate and calibration",
             f"model {spec.model.name}: {settings}"]  # fmt: skip
    if isinstance(spec.model, LexicalSpec):
        notes.append("fits in about a minute for 300,000 words on one core")
    return Plan(f"tagger {spec.name}", (table,), tuple(notes))


def show(artifact: Artifact) -> Page:
    """The card."""
    from curation.training.tagger.page import card_page

    return card_page(artifact)


TAGGER: Stage[TaggerTrainingSpec] = Stage("tagger", 2, TaggerTrainingSpec, identity, run, plan, show)
