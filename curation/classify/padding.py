"""Which token fills the rows of a batch, so that a text's score does not depend on its neighbours in it.

A decoder's classifier reads the last token that is not `config.pad_token_id`: of rows that are filled with another one
it classifies the filling. RoBERTa counts positions by it. So the model's own id comes first, then its tokenizer's, of
which the model is told.
"""

from __future__ import annotations

from typing import Any

from infra.errors import InputError


def settle_padding(config: Any, tokenizer: Any, called: str) -> int:
    """The token to fill rows with; afterwards `config` and `tokenizer` both name it. Raises InputError where neither
    did.
    """
    inner = config.get_text_config()
    known = (inner.pad_token_id, config.pad_token_id, tokenizer.pad_token_id)
    pad = next((number for number in known if number is not None), None)
    if pad is None or not 0 <= pad < inner.vocab_size:
        raise InputError(
            f"{called}: neither the model nor its tokenizer names a padding token, so texts cannot be scored together; "
            "write pad_token_id into its config.json, usually the number of its end-of-text token"
        )
    config.pad_token_id = inner.pad_token_id = pad
    tokenizer.pad_token = tokenizer.convert_ids_to_tokens(pad)
    return int(pad)
