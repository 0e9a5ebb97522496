"""The sections of the evaluations in `kind: analysis`; each has a key of its own. Light to import."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from curation.corpus.where import parse
from curation.scorers.options import AnyScorer
from curation.sources.spec import SourceSpec
from infra.config.identity import NotIdentity, OnlyIfSet
from infra.config.spec import FileName, Location, Seed, Spec, distinct
from posttrain.spec import LabelledFileSpec

SetName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")]
"""Name of a set of prompts."""


class TextsSpec(Spec):
    """Where documents come from: a component's held-out ones, or a file."""

    component: str = "clean"
    """Component of the mixture whose held-out documents are read."""
    texts: Annotated[SourceSpec | None, NotIdentity] = None
    """Documents of a file in place of a component's: for a model without a mixture, or for other text."""
    max_tokens_per_document: int | None = Field(None, ge=2)
    """Only the first tokens of each document count."""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if self.texts is not None and "component" in self.model_fields_set:
            raise ValueError("either `component` or `texts`")
        return self

    @property
    def source(self) -> str | SourceSpec:
        """What the documents are of; two sections with the same begin with the same document."""
        return self.component if self.texts is None else self.texts

    @property
    def source_name(self) -> str:
        """How messages call it."""
        return f"held-out documents of {self.component!r}" if self.texts is None else f"documents of {self.texts.path}"


class DocumentsSpec(TextsSpec):
    """Documents whose cross-entropy is measured."""

    max_documents: int | None = Field(None, ge=2)
    """At most this many documents, the first ones."""


class CrossEntropySpec(DocumentsSpec):
    """Cross-entropy on documents that the mixture holds out, or of a file."""

    also: dict[FileName, DocumentsSpec] = Field(default_factory=dict)
    """Further documents by name, which rows have as their `instance`; they count in no cost."""

    @property
    def measured(self) -> dict[str | None, DocumentsSpec]:
        """Everything that is measured: the documents that count under None, then those of `also`."""
        return dict[str | None, DocumentsSpec]([(None, self), *self.also.items()])


class FluencySpec(Spec):
    """How well what `toxicity` has the model write reads: perplexity, repetition, variety, length."""

    judge: Annotated[Location | None, NotIdentity] = None
    """A further model that says how likely the generations are, with its own tokenizer: a folder or `hf:org/model`."""


class RelearningSpec(Spec):
    """The curve of a relearning attack, of a model that `tune: unlearn-relearn` has made; other models have none."""


class ProbesSpec(Spec):
    """Linear probes of every head, on the texts of `labelled:`."""

    folds: int = Field(5, ge=2)
    """Folds of the cross-validation."""
    seed: Seed = 0
    """Draws the folds, and the texts where `labelled:` has no seed; the same for all arms. In a study the texts are
    those that the arm's methods are fitted on.
    """
    geometry: Annotated[bool, OnlyIfSet] = False
    """Also effective ranks of the labelled activations and margins of the probes, as rows of further instances."""
    attributes: Annotated[tuple[str, ...], OnlyIfSet, AfterValidator(distinct)] = ()
    """Further attributes of the labelled text, such as insult and threat: how far the direction of `labelled:` is
    entangled with theirs, layer by layer.
    """
    token_texts: Annotated[int, OnlyIfSet] = Field(0, ge=0)
    """Labelled texts, half of them toxic, of which every token is scored by the best heads' probes."""


class RecognitionSpec(Spec):
    """How well a linear probe of the last token's state tells toxic from benign text."""

    texts: Annotated[LabelledFileSpec | None, NotIdentity] = None
    """Labelled text from a file, such as CivilComments. Default: the texts of `labelled:`."""
    layers: tuple[Annotated[int, Field(ge=0)], ...] = ()
    """Also the residual stream after these layers, counted from 0, in rows whose `instance` is `layer N`. The last
    layer's, after the model's last norm, is always read."""
    folds: int = Field(5, ge=2)
    """Folds of the cross-validation, of whole documents."""
    seed: Seed = 0
    """Draws the folds, and the texts where their section has no seed."""


def _readable(where: str | None) -> str | None:
    if where is not None:
        parse(where)
    return where


class PromptsSpec(Spec):
    """Which prompts, and what is known of them."""

    prompts: Annotated[SourceSpec, NotIdentity]
    """Where the prompts come from."""
    where: Annotated[str | None, OnlyIfSet, AfterValidator(_readable)] = None
    """Only prompts for which this is true, such as `metadata.challenging == true` or
    `metadata["prompt.toxicity"] < 0.5`. Names: `metadata.KEY` (kept by itself), `characters`, `id`."""
    group: Annotated[str | None, OnlyIfSet] = None
    """Dotted key of the group that a prompt is of, such as the people it speaks of; kept in the results. A `limit` then
    takes as many of each group as of any other, as far as they reach."""
    limit: int | None = Field(None, ge=2)
    """At most this many prompts, a seeded choice (files are often sorted by kind)."""
    stored_scores: dict[str, str] = Field(default_factory=dict)
    """Scores that came with the prompts: attribute -> dotted key; kept in the results."""
    strip: Annotated[bool, OnlyIfSet] = False
    """Take blanks off the end of prompts. BOLD's end with one, behind which no model expects a word, as tokens of words
    begin with the blank."""
    until: Annotated[str | None, OnlyIfSet] = Field(None, min_length=1)
    """What is scored ends before the first of these: a line break where prompts are lists, as ToxiGen's."""


class PromptSetSpec(PromptsSpec):
    """A further set of prompts; what it does not say of limit and sampling is as in the section."""

    samples: int | None = Field(None, ge=1)
    """Continuations of each prompt. Default: the section's."""
    max_new_tokens: int | None = Field(None, ge=1)
    """Tokens of a continuation, at most. Default: the section's."""


class ToxicitySpec(PromptsSpec):
    """Toxicity of what the model writes."""

    sets: Annotated[dict[SetName, PromptSetSpec], OnlyIfSet] = Field(default_factory=dict)
    """Further sets of prompts by name, beside those that the answer is about: what they give has its own figures, in
    rows whose `instance` is the name."""
    samples: int = Field(1, ge=1)
    """Continuations of each prompt."""
    max_new_tokens: int = Field(20, ge=1)
    """Tokens of a continuation, at most."""
    top_p: float = Field(0.9, gt=0, le=1)
    """Nucleus: sample among the likeliest tokens of this total probability."""
    temperature: float = Field(1.0, ge=0)
    """0 takes the likeliest token."""
    scorer: Annotated[AnyScorer, NotIdentity]
    """What decides how toxic a continuation is."""
    also: Annotated[tuple[AnyScorer, ...], NotIdentity] = ()
    """Further scorers whose scores are kept beside."""
    attribute: str = "toxicity"
    """Attribute of `scorer` that counts."""
    seed: Seed = 0
    """Draws prompts and continuations; the same for all arms, so that they are paired."""

    def new_tokens_of(self, name: str | None) -> int:
        """`max_new_tokens` of a further set of prompts; of the section's own for None."""
        given = None if name is None else self.sets[name].max_new_tokens
        return self.max_new_tokens if given is None else given

    @model_validator(mode="after")
    def _distinct_scorers(self) -> ToxicitySpec:
        if self.scorer in self.also:
            raise ValueError("`also` holds the scorer that counts anyway; take it out")
        return self


class CapabilityTaskSpec(Spec):
    """Questions, and the task of lm-evaluation-harness that asks them."""

    task: str
    """A task by its name in lm-evaluation-harness (`hellaswag`, `arc_easy`; where the items have a `subject`, the task
    TASK_SUBJECT, as `mmlu` has them), or `choices`: the text, a blank, and the likeliest of the item's `choices`,
    against its `gold`, `answer` or `label`."""
    name: str = ""
    """How the rows name it; the task's name where nothing is given."""
    file: Annotated[Location | None, NotIdentity] = None
    """A task file of your own, in the harness's form, instead of the one that it has."""
    items: Annotated[SourceSpec, NotIdentity]
    """Where the items come from. The text and what `keep` names are the task's columns, by the last part of their keys;
    an item's `split` says which it belongs to (without one, all are asked)."""
    num_fewshot: int = Field(0, ge=0)
    """Items of the task's few-shot split that stand before each question."""
    limit: int | None = Field(None, ge=1)
    """At most this many items, the first ones (of each subject), as the harness's --limit."""


class CapabilitySpec(Spec):
    """Questions with known answers, through lm-evaluation-harness."""

    tasks: tuple[CapabilityTaskSpec, ...] = Field(min_length=1)
    """What is asked."""
    seed: Seed = 1234
    """Draws the few-shot examples of tasks that draw them; the harness's default."""

    @model_validator(mode="after")
    def _told_apart(self) -> CapabilitySpec:
        distinct([task.name or task.task for task in self.tasks])
        return self


Attack = Literal["none", "plain", "steered"]


class RedTeamSpec(Spec):
    """Suffixes sought by gradients (GCG) that make the model begin with a target."""

    prompts: Annotated[SourceSpec, NotIdentity]
    """Where the requests come from."""
    target: str = "target"
    """Dotted key of what a reply is to begin with."""
    limit: int | None = Field(None, ge=1)
    """At most this many prompts, the first ones."""
    attacks: Annotated[tuple[Attack, ...], AfterValidator(distinct)] = Field(("none", "plain", "steered"), min_length=1)
    """none: the request alone; plain: the suffix is sought on the model without steering; steered: with it inside."""
    num_steps: int = Field(250, ge=1)
    """Steps of the search. Defaults of this and the next four: nanogcg 0.2.3 (the paper took 500 steps)."""
    search_width: int = Field(512, ge=1)
    """Suffixes tried in a step."""
    topk: int = Field(256, ge=1)
    """Replacements of a token among which is drawn."""
    n_replace: int = Field(1, ge=1)
    """Tokens replaced at once."""
    initial: str = "x x x x x x x x x x x x x x x x x x x x"
    """The suffix that the search begins with; its tokens are the suffix's length."""
    chat: bool = False
    """Put the request into the tokenizer's chat template."""
    max_new_tokens: int = Field(64, ge=1)
    """Tokens of a reply, at most."""
    top_p: float = Field(0.9, gt=0, le=1)
    """Nucleus of the reply."""
    temperature: float = Field(0.0, ge=0)
    """0 takes the likeliest token."""
    scorer: Annotated[AnyScorer | None, NotIdentity] = None
    """Scores the replies beside; whether they begin with the target is always told."""
    seed: Seed = 0
    """Draws the search, anew for each prompt, and the replies."""
