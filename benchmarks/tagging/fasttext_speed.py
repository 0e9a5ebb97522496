"""(e) Documents a second of the scorer `fasttext` on one core, with a model trained here by `kind: fasttext`."""

from __future__ import annotations

from pathlib import Path

from bench import Bench, seconds

_YAML = Path(__file__).parents[1] / "studies" / "fasttext-toxic.yaml"


def measure(bench: Bench) -> None:
    """Train, then score."""
    from curation.scorers import load_scorer
    from curation.scorers.options import FasttextScorerSpec
    from curation.training.fasttext.spec import FasttextStageSpec
    from curation.training.fasttext.stage import FASTTEXT
    from infra.config.spec import load_spec
    from infra.stages.stage import run_stage

    _, spec = load_spec(_YAML, {"fasttext": lambda: FasttextStageSpec})
    artifact = run_stage(FASTTEXT, spec, bench.out / "fasttext", quiet=True)
    scorer = load_scorer(FasttextScorerSpec(model=str(artifact.path), labels={"toxicity": "toxic"}))
    texts = bench.texts(20_000)
    bench.add("e", "scorer fasttext", len(texts) / seconds(lambda: scorer.score(texts)), "documents/s")
