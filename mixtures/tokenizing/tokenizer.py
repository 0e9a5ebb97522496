"""The tokenizer of a mixture: a trained byte-level BPE, a tokenizer.json, or one from the hub, saved for
`AutoTokenizer`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from curation.corpus.where import parse
from infra.atomic import write_json, write_text
from infra.config.faults import nearest
from infra.errors import InputError, UnavailableError
from mixtures.corpora import select
from mixtures.corpora.columns import Corpus, batches, matches, open_corpus, where_columns
from mixtures.hub import revision_of
from mixtures.spec.mixture import TokenizerSpec, TokenizerStageSpec, TrainBpeSpec

EOS, PADDING, REMOVED = "<|endoftext|>", "<|padding|>", "<|removed|>"
MANIFEST = "hormesis_tokenizer.json"

_USUAL_EOS = (EOS, "</s>", "<eos>", "<|end_of_text|>")


@dataclass(frozen=True)
class TokenizerFacts:
    """What the trainer must know of a tokenizer; `removed_id` is None where it has no <|removed|> token."""

    vocab_size: int
    eos_id: int
    pad_id: int
    removed_id: int | None
    eos: str
    pad: str


def read_facts(folder: Path) -> TokenizerFacts:
    """Facts of a tokenizer folder that `save` wrote."""
    try:
        return TokenizerFacts(**json.loads((folder / MANIFEST).read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise InputError(f"{folder}: not a tokenizer that hormesis made (there is no {MANIFEST})") from None


def make(spec: TokenizerStageSpec, folder: Path) -> TokenizerFacts:
    """Make the tokenizer of `spec` in `folder`. Raises InputError (no EOS, unreadable) or UnavailableError (hub)."""
    source = spec.source
    if source.train_bpe is not None:
        assert spec.curation is not None and spec.corpus is not None
        return save(_train(spec, source.train_bpe), EOS, PADDING, folder)
    tokenizer, config = _from_file(Path(source.file)) if source.file else _from_hub(source)
    return save(tokenizer, _eos(tokenizer, source, config), _pad(tokenizer, source, config), folder)


def save(tokenizer: Tokenizer, eos: str, pad: str | None, folder: Path) -> TokenizerFacts:
    """Write tokenizer.json, tokenizer_config.json and the facts, so that `AutoTokenizer.from_pretrained(folder)`
    works.
    """
    tokenizer, pad = _adds_nothing(tokenizer), pad or eos
    eos_id, pad_id = tokenizer.token_to_id(eos), tokenizer.token_to_id(pad)
    assert eos_id is not None and pad_id is not None
    facts = TokenizerFacts(
        # Rows an embedding needs: ids may have holes, so that the count of entries can be too small.
        vocab_size=max(tokenizer.get_vocab(with_added_tokens=True).values()) + 1,
        eos_id=eos_id,
        pad_id=pad_id,
        removed_id=tokenizer.token_to_id(REMOVED),
        eos=eos,
        pad=pad,
    )
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": eos,
        "pad_token": pad,
        "clean_up_tokenization_spaces": False,
        "model_max_length": int(1e9),
    }
    write_text(folder / "tokenizer.json", tokenizer.to_str(pretty=False))
    write_json(folder / "tokenizer_config.json", config)
    write_json(folder / MANIFEST, facts.__dict__)
    return facts


def _adds_nothing(tokenizer: Tokenizer) -> Tokenizer:
    """The tokenizer without the tokens that its post-processor puts around a text, such as a BOS: training documents
    have none, so that `AutoTokenizer` must not add them to what the model reads later. Offsets, which other
    post-processors trim, do not enter ids.
    """
    if tokenizer.encode("a", add_special_tokens=True).ids != tokenizer.encode("a", add_special_tokens=False).ids:
        tokenizer.post_processor = None
    return tokenizer


def _train(spec: TokenizerStageSpec, bpe: TrainBpeSpec) -> Tokenizer:
    """Byte-level BPE with GPT-2's pre-tokenisation; the same documents give the same merges whatever the threads."""
    assert spec.curation is not None and spec.corpus is not None
    corpus = open_corpus(spec.curation, spec.corpus)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=bpe.vocab_size,
        special_tokens=[EOS, PADDING, REMOVED],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_training_texts(corpus, spec, bpe.sample_characters), trainer=trainer)
    got = tokenizer.get_vocab_size()
    if got < bpe.vocab_size:
        raise InputError(
            f"tokenizer.train_bpe: the text of component {bpe.component!r} yields {got} entries, not {bpe.vocab_size}; "
            f"set vocab_size: {got} or add text"
        )
    return tokenizer


def _training_texts(corpus: Corpus, spec: TokenizerStageSpec, sample_characters: int) -> Iterator[list[str]]:
    """Texts that pass `where`, without the hold-out, batch by batch.

    The hold-out is counted in tokens, which do not exist yet. But every whitespace-separated word holds at least one
    token and every document an EOS, so the documents held out are among the shortest run with that many *words*: that
    run is left out, which is a little more than the hold-out and never less.
    """
    where = parse(spec.where) if spec.where else None
    limit = _last_held_out(corpus, spec)
    share = min(1.0, sample_characters / max(1, corpus.manifest.characters))
    columns = sorted({"id", "text", *where_columns(where)})
    for shard in corpus.shards:
        for row, batch in batches(shard, columns):
            identity = select.identities(corpus.name, batch.column("id").to_pylist())
            keep = matches(where, batch, shard, row)
            keep = keep & (select.keys(identity, spec.seed, select.HOLD_OUT) > limit) if spec.hold_out else keep
            keep = keep & (select.keys(identity, spec.seed, "tokenizer") <= np.uint64(share * (2**64 - 2**11)))
            texts = batch.column("text").to_pylist()
            yield [texts[index] for index in np.flatnonzero(keep)]


def _last_held_out(corpus: Corpus, spec: TokenizerStageSpec) -> np.uint64:
    """Hold-out key of the last document left out (0 when nothing is held out)."""
    if not spec.hold_out:
        return np.uint64(0)
    where = parse(spec.where) if spec.where else None
    columns = sorted({"id", "text", *where_columns(where)})
    all_keys, all_words = [], []
    for shard in corpus.shards:
        for row, batch in batches(shard, columns):
            keep = matches(where, batch, shard, row)
            identity = select.identities(corpus.name, batch.column("id").to_pylist())
            words = np.asarray([len(text.split()) + 1 for text in batch.column("text").to_pylist()], dtype=np.int64)
            all_keys.append(select.keys(identity, spec.seed, select.HOLD_OUT)[keep])
            all_words.append(words[keep])
    order_keys, words = np.concatenate(all_keys), np.concatenate(all_words)
    order = np.argsort(order_keys, kind="stable")
    running = np.cumsum(words[order])
    last = min(int(np.searchsorted(running, spec.hold_out)), len(order) - 1)
    if last == len(order) - 1:
        raise InputError(
            f"tokenizer.train_bpe: holding out {spec.hold_out:,} tokens leaves no document of "
            f"{corpus.name!r} to train on"
        )
    return np.uint64(order_keys[order[last]])


def _from_file(path: Path) -> tuple[Tokenizer, dict[str, Any]]:
    """A tokenizer.json, and what a tokenizer_config.json beside it says of special tokens."""
    if not path.is_file():
        raise InputError(f"tokenizer.file: {path}: no such file")
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises bare Exception on a malformed file
        raise InputError(f"tokenizer.file: {path}: not a tokenizer.json: {error}") from None
    return tokenizer, _configuration(path.with_name("tokenizer_config.json"))


def _configuration(path: Path) -> dict[str, Any]:
    """What a tokenizer_config.json says, if there is one. Raises InputError where it cannot be read."""
    if not path.is_file():
        return {}
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"tokenizer.file: {path}: not JSON: {error}; mend it, or move it away") from None
    if not isinstance(config, dict):
        raise InputError(f"tokenizer.file: {path}: not a JSON object of settings; mend it, or move it away")
    return config


def _from_hub(source: TokenizerSpec) -> tuple[Tokenizer, dict[str, Any]]:
    from transformers import AutoTokenizer

    try:
        loaded = AutoTokenizer.from_pretrained(source.hub, revision=revision_of(source) or "main", use_fast=True)
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UnavailableError(
            f"tokenizer.hub: {source.hub} cannot be had ({reason}); give a local `file` instead"
        ) from None
    if not getattr(loaded, "is_fast", False):
        raise InputError(f"tokenizer.hub: {source.hub} has no fast tokenizer (tokenizer.json)")
    return loaded.backend_tokenizer, {"eos_token": loaded.eos_token, "pad_token": loaded.pad_token}


def _eos(tokenizer: Tokenizer, source: TokenizerSpec, config: dict[str, Any]) -> str:
    """The token that ends a document: what the YAML says, else the configuration beside it, else a usual name.

    Raises InputError where a token that is named is not in the vocabulary: another one would be put in its stead.
    """
    special = sorted({token.content for token in tokenizer.get_added_tokens_decoder().values()})
    if source.eos is not None:
        if tokenizer.token_to_id(source.eos) is None:
            options = [*special, *_USUAL_EOS]
            raise InputError(f"tokenizer.eos: {source.eos!r} is not in the vocabulary{nearest(source.eos, options)}")
        return source.eos
    where = source.file or source.hub
    declared = _declared(config, "eos_token", where)
    if declared is not None and tokenizer.token_to_id(declared) is None:
        raise InputError(
            f"the tokenizer {where} says that its end-of-text token is {declared!r}, which is not in its vocabulary; "
            f"set tokenizer.eos{nearest(declared, special)}"
        )
    for candidate in (declared, *_USUAL_EOS):
        if candidate and tokenizer.token_to_id(candidate) is not None:
            return candidate
    names = ", ".join(special) or "none"
    raise InputError(f"the tokenizer {where} names no end-of-text token; set tokenizer.eos (special tokens: {names})")


def _pad(tokenizer: Tokenizer, source: TokenizerSpec, config: dict[str, Any]) -> str | None:
    """The padding: what the configuration says, else a usual name; None where there is none. Raises InputError where it
    names a token that is not in the vocabulary.
    """
    where = source.file or source.hub
    declared = _declared(config, "pad_token", where)
    if declared is not None and tokenizer.token_to_id(declared) is None:
        special = sorted(token.content for token in tokenizer.get_added_tokens_decoder().values())
        raise InputError(
            f"the tokenizer {where} says that its padding token is {declared!r}, which is not in its vocabulary; "
            f"add it to tokenizer.json, or mend pad_token in its tokenizer_config.json{nearest(declared, special)}"
        )
    for candidate in (declared, PADDING, "<pad>"):
        if candidate and tokenizer.token_to_id(candidate) is not None:
            return candidate
    return None


def _declared(config: dict[str, Any], key: str, where: str | None) -> str | None:
    """A special token of a configuration, where it stands as a string or as {"content": …}. Raises InputError."""
    token = config.get(key)
    content = token.get("content") if isinstance(token, dict) else token
    if content is not None and not isinstance(content, str):
        raise InputError(f"the tokenizer {where}: {key} in its tokenizer_config.json is {content!r}, and not a text")
    return content or None
