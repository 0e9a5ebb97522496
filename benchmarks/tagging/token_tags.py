"""(d) Words a second of the trained tagger `lexical` on one core."""

from __future__ import annotations

from pathlib import Path

from bench import Bench, seconds

_YAML = Path(__file__).parents[1] / "taggers" / "lexical.yaml"


def measure(bench: Bench) -> None:
    """Train, then tag."""
    from curation.taggers import make_tagger
    from curation.taggers.options import LexicalTaggerSpec
    from curation.text.words import word_spans
    from curation.training.tagger.spec import TaggerTrainingSpec
    from curation.training.tagger.stage import TAGGER
    from infra.config.spec import load_spec
    from infra.stages.stage import run_stage

    _, spec = load_spec(_YAML, {"tagger": lambda: TaggerTrainingSpec})
    artifact = run_stage(TAGGER, spec, bench.out / "lexical", quiet=True)
    tagger = make_tagger(LexicalTaggerSpec(path=str(artifact.path)))
    texts = bench.texts(20_000)
    words = sum(len(word_spans(text)) for text in texts)
    tagger.tag(texts[:256])
    taken = seconds(lambda: [tagger.tag(texts[start : start + 256]) for start in range(0, len(texts), 256)])
    bench.add("d", "tagger lexical", words / taken, "words/s", floor=100_000)
