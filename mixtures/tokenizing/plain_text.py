"""A tokenizer for which every text is ordinary text: what a document spells can never become its end-of-text.

`encode_special_tokens` does that for added tokens that are marked as special. It does not reach tokens that were added
without the mark, nor entries of the vocabulary itself, which a Unigram finds in any text. Those are renamed here to a
spelling that no text has; every id stays as it is.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tokenizers import Tokenizer

_NOWHERE = "\uffff \uffff"  # two noncharacters, and between them a space, which most tokenizers cut at or replace
_AROUND = ("{}", " {}", "a{}b", "a {} b", "<b>{}</b>")


def text_only(tokenizer: Tokenizer, eos_id: int) -> Tokenizer:
    """The same tokenizer, its special tokens and `eos_id` out of reach of any text; itself where they are already."""
    tokenizer.encode_special_tokens = True
    names = _control(tokenizer, eos_id)
    if not any(_reached(tokenizer, name) for name in names):
        return tokenizer
    data = json.loads(tokenizer.to_str())
    unknown = _unknown(data["model"])
    rename = {name: f"{_NOWHERE}{name}" for name in names if name != unknown}
    for token in data["added_tokens"]:
        if token["content"] in rename:
            token |= {"content": rename[token["content"]], "special": True}
    _rename_vocabulary(data["model"], lambda name: rename.get(name, name))
    data["post_processor"] = None  # it may name such a token
    other = Tokenizer.from_str(json.dumps(data))
    other.encode_special_tokens = True
    return other


def _control(tokenizer: Tokenizer, eos_id: int) -> list[str]:
    """The special tokens by name, the EOS among them whether it is marked as one or not."""
    added = tokenizer.get_added_tokens_decoder().values()
    names = {token.content for token in added if token.special} | {tokenizer.id_to_token(eos_id)}
    return sorted(name for name in names if name is not None)


def _reached(tokenizer: Tokenizer, name: str) -> bool:
    """Whether a text that spells the token gets it."""
    number = tokenizer.token_to_id(name)
    return any(number in tokenizer.encode(around.format(name), add_special_tokens=False).ids for around in _AROUND)


def _unknown(model: dict[str, Any]) -> str | None:
    """The token of what is not in the vocabulary: texts must get it."""
    if model["type"] == "Unigram":
        return None if model.get("unk_id") is None else str(model["vocab"][model["unk_id"]][0])
    return model.get("unk_token")


def _rename_vocabulary(model: dict[str, Any], name: Callable[[str], str]) -> None:
    """Rename entries; merges that make one of them, or are made of one, are dropped."""
    if model["type"] == "Unigram":
        model["vocab"] = [[name(piece), score] for piece, score in model["vocab"]]
        return
    model["vocab"] = {name(piece): number for piece, number in model["vocab"].items()}
    if "merges" in model:
        pairs = (merge.split(" ") if isinstance(merge, str) else merge for merge in model["merges"])
        model["merges"] = [pair for pair in pairs if model["vocab"].keys() >= {*pair, "".join(pair)}]
