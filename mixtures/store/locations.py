"""Where the store keeps what a mixture shares with others: its tokenizer, and its corpora's tokens."""

from __future__ import annotations

from pathlib import Path

from infra.artifacts.artifact import STORE
from mixtures.spec.mixture import MixtureSpec, Source, TokensSpec, tokenizer_stage_spec
from mixtures.store.stages import TOKENIZER, TOKENS


def usual_store(spec: MixtureSpec) -> Path:
    """The store that is used unless another is named: beside the corpora."""
    first = spec.curation or next(iter(spec.megatron.values())).prefix
    return Path(first).parent / STORE


def tokenizer_folder(spec: MixtureSpec, store: Path) -> Path:
    """Where the mixture's tokenizer is, or would be, in `store`."""
    return store / f"tokenizer-{TOKENIZER.fingerprint(tokenizer_stage_spec(spec))[:12]}"


def tokens_folder(spec: MixtureSpec, source: Source, tokenizer: Path, store: Path) -> Path:
    """Where the tokens of `source` are, or would be, in `store`."""
    return store / f"tokens-{source[0]}-{TOKENS.fingerprint(tokens_spec(spec, source, tokenizer))[:12]}"


def tokens_spec(spec: MixtureSpec, source: Source, tokenizer: Path) -> TokensSpec:
    """The tokens stage that `spec` needs for `source`."""
    corpus, cut = source
    megatron = spec.megatron.get(corpus)
    curation = spec.curation if megatron is None else None
    return TokensSpec(curation=curation, megatron=megatron, corpus=corpus, tokenizer=str(tokenizer), risk=spec.risk,
                      cut=cut)  # fmt: skip
