"""The `method:` section of `kind: posttrain`: the arguments of every steering method, told apart by `name`, or a name
alone. Light to import.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, TypeAlias

from pydantic import BeforeValidator, Field, field_validator, model_validator

from infra.config.identity import NotIdentity, OnlyIfSet
from infra.config.spec import Location, Spec


class MethodArgs(Spec):
    """The arguments of a method."""

    name: str
    models: ClassVar[tuple[str, ...]] = ()
    """Keys that are locations of further models. Their fingerprints are inputs of the fit."""
    files: ClassVar[tuple[str, ...]] = ()
    """Keys that are files, whose content is an input of the fit."""
    strengths: ClassVar[tuple[float, ...]] = (1.0,)
    """Strengths that a study measures when it names none."""

    @property
    def needs_labels(self) -> bool:
        """Whether it is fitted on labelled text."""
        return True

    @property
    def label_attributes(self) -> tuple[str, ...]:
        """Attributes by which it wants texts labelled, one set of texts for each; none: the section's own."""
        return ()


class MeanArgs(MethodArgs):
    """Methods whose direction is a difference of class means."""

    mean: Annotated[Literal["mean", "median_of_means"], OnlyIfSet] = "mean"
    """How a class's mean is estimated; median_of_means: coordinate by coordinate the median of the means of blocks,
    which a few texts far out do not move (Lugosi & Mendelson 2019, arXiv 1906.04280).
    """
    mean_blocks: Annotated[int, OnlyIfSet] = Field(default=24, ge=2)
    """Blocks of median_of_means. 24 is 8 log(1/0.05), the number of that survey's Theorem 2 for an error probability of
    0.05.
    """


class ItiArgs(MeanArgs):
    """Inference-time intervention; its strength is alpha."""

    strengths: ClassVar[tuple[float, ...]] = (4.0, 8.0, 12.0)
    name: Literal["iti"] = "iti"
    top_heads: int | None = Field(default=None, ge=1)
    """Heads to edit, best probe first. Default: 30 (Li et al. 2025, arXiv 2505.04741), but half of the heads of a model
    with under 60.
    """
    direction: Literal["mass_mean", "probe", "lda", "random"] = "mass_mean"
    """mass_mean: benign mean minus toxic mean; probe: the logistic probe's coefficients; lda: linear discriminant
    analysis, the difference of means through the inverted within-class covariance; random: a control of the same norm.
    """
    positions: Literal["last", "all"] = "last"
    """Edit the last token of every forward while generating, or every token (which a bias can do for free)."""
    folds: int = Field(default=5, ge=2)
    """Cross-validation folds behind the ranking of heads; 5 holds out a share of 0.2, as the released code does."""


class CaaArgs(MeanArgs):
    """Contrastive activation addition; its strength is alpha."""

    strengths: ClassVar[tuple[float, ...]] = (1.0, 2.0, 4.0)
    name: Literal["caa"] = "caa"
    layers: tuple[Annotated[int, Field(ge=0)], ...] | None = Field(default=None, min_length=1)
    """Layers (from 0) after which the residual stream is moved. Default: the one whose probe validates best."""
    direction: Literal["mass_mean", "random"] = "mass_mean"
    """mass_mean: benign mean minus toxic mean; random: a control of the same norm."""
    positions: Literal["last", "all"] = "last"
    """Edit the last token of every forward while generating, or every token."""
    folds: int = Field(default=5, ge=2)
    """Cross-validation folds behind the choice of the layer."""


class NoneArgs(MethodArgs):
    """No steering."""

    name: Literal["none"] = "none"

    @property
    def needs_labels(self) -> bool:
        """It is not fitted."""
        return False


DETOX_PROMPT = (
    "The following text was written with respect for every person and contains no insults, threats, slurs or "
    "prejudice. Its tone is ethical and inclusive, and it avoids stereotypes and false claims.\n\n"
)

CHAT_REQUEST = "Write a text."


class PromptArgs(MethodArgs):
    """A text before every text."""

    name: Literal["prompt"] = "prompt"
    text: str = DETOX_PROMPT
    """What stands before each prompt, and before each document whose cross-entropy is measured. Default: ours."""
    chat: Annotated[Literal["auto", "never"], OnlyIfSet] = "auto"
    """auto: where the tokenizer has a chat template, `text` is the system message, `request` the user's, and what is
    continued or measured is the beginning of the assistant's answer; never: `text` as it stands, whatever the model.
    """
    request: Annotated[str, OnlyIfSet] = CHAT_REQUEST
    """What the user of a chat asks for; used where there is a chat template."""

    @property
    def needs_labels(self) -> bool:
        """It is not fitted."""
        return False


class SasaArgs(MethodArgs):
    """Self-disciplined autoregressive sampling; its strength is beta."""

    strengths: ClassVar[tuple[float, ...]] = (10.0, 100.0, 300.0)
    name: Literal["sasa"] = "sasa"
    max_candidates: int = Field(default=20, ge=1)
    """Most probable tokens whose margin is looked at in a step; cost grows with it. The paper has no default; ours."""
    candidate_mass: float = Field(default=1.0, gt=0, le=1)
    """Probability at which no further candidates are looked at: 0.95 leaves out those behind the likeliest that hold
    0.95 together, `max_candidates` bounds them as well. Results say what share of all that could be drawn they held.
    """
    margins: Literal["scaled", "released"] = "scaled"
    """scaled: margins in standard deviations of the labelled texts' own; released: in the units of the hidden states,
    as in the authors' code.
    """
    attributes: dict[str, Annotated[float, Field(gt=0)]] = Field(default_factory=dict)
    """Weights by attribute, {toxicity: 1.0, insult: 0.5}: each has a boundary of its own, fitted on texts labelled by
    it (in a file by the key of that name). Default: the attribute of `labelled:` alone.
    """
    cross_entropy_positions: int = Field(default=32, ge=1)
    """Positions of a document (or window of it) where steering's effect on cross-entropy is measured. Ours."""
    folds: int = Field(default=5, ge=2)
    """Cross-validation folds behind the reported accuracy of the boundary and the spread of the margins."""

    @field_validator("attributes")
    @classmethod
    def _by_name(cls, value: dict[str, float]) -> dict[str, float]:
        return dict(sorted(value.items()))  # the order of the fitted tensors, whatever order a file has them in

    @property
    def label_attributes(self) -> tuple[str, ...]:
        """Those of `attributes`."""
        return tuple(self.attributes)


def _fixed(value: object) -> object:
    """A list as it comes from JSON, where tuples are asked for strictly."""
    return tuple(value) if isinstance(value, list) else value


class WordFilterArgs(MethodArgs):
    """A list of words that are not to be written; its strength is the penalty in nats."""

    files: ClassVar[tuple[str, ...]] = ("path",)
    strengths: ClassVar[tuple[float, ...]] = (2.0, 5.0, 50.0)
    name: Literal["word_filter"] = "word_filter"
    words: Annotated[tuple[str, ...], BeforeValidator(_fixed, json_schema_input_type=list[str])] = ()
    """Words and phrases."""
    path: Annotated[Location | None, NotIdentity] = None
    """File of one word or phrase a line, beside `words` or instead of them; lines that begin with # are remarks."""
    case: Literal["ignored", "sensitive"] = "ignored"
    """Whether upper and lower case are told apart."""
    whole_words: bool = True
    """A listed word counts where no letter or digit stands before it, and none after it in the token that ends it."""

    @property
    def needs_labels(self) -> bool:
        """It is not fitted."""
        return False

    @model_validator(mode="after")
    def _some_words(self) -> WordFilterArgs:
        if not self.words and self.path is None:
            raise ValueError("list words under `words`, or give a file of them as `path`")
        return self


class ConditionedArgs(MethodArgs):
    """A prefix as the model has met in training; its strength is the scale of the guidance towards it."""

    strengths: ClassVar[tuple[float, ...]] = (1.0, 1.5, 3.0)
    name: Literal["conditioned"] = "conditioned"
    good: str | None = None
    """Prefix of texts as they should be. Default: the one that the mixture of the model's pretraining puts before a
    document whose `attribute` is 0.
    """
    bad: str | None = None
    """Prefix of texts as they should not be, for `against: bad`. Default: that of a document whose `attribute` is 1."""
    against: Literal["plain", "bad"] = "plain"
    """What the good prefix is compared with: no prefix, or the bad one."""
    attribute: str = "toxicity"
    """Score that the mixture's prefixes tell."""

    @property
    def needs_labels(self) -> bool:
        """It is not fitted."""
        return False

    @model_validator(mode="after")
    def _bad_is_used(self) -> ConditionedArgs:
        if self.bad is not None and self.against != "bad":
            raise ValueError("`bad` is read with `against: bad` only")
        return self


class DexpertsArgs(MethodArgs):
    """An expert on benign text against an anti-expert on toxic text; its strength is alpha."""

    models: ClassVar[tuple[str, ...]] = ("expert", "anti_expert")
    strengths: ClassVar[tuple[float, ...]] = (1.0, 2.0, 3.2)
    name: Literal["dexperts"] = "dexperts"
    expert: Annotated[Location | None, NotIdentity] = None
    """Model tuned on benign text. Default: the steered model, against which the anti-expert then stands alone."""
    anti_expert: Annotated[Location | None, NotIdentity] = None
    """Model tuned on toxic text. Default: the steered model."""

    @property
    def needs_labels(self) -> bool:
        """It is not fitted."""
        return False

    @model_validator(mode="after")
    def _some_expert(self) -> DexpertsArgs:
        if self.expert is None and self.anti_expert is None:
            raise ValueError("give `expert`, `anti_expert` or both")
        return self


class RadArgs(MethodArgs):
    """Reward-augmented decoding; its strength is beta."""

    models: ClassVar[tuple[str, ...]] = ("classifier", "backbone")
    strengths: ClassVar[tuple[float, ...]] = (10.0, 30.0, 100.0)
    name: Literal["rad"] = "rad"
    classifier: Annotated[Location | None, NotIdentity] = None
    """Reward model: a sequence classifier on a causal backbone (such as GPT2ForSequenceClassification). Without one a
    reward is fitted from the labelled texts on a causal language model's last hidden state.
    """
    backbone: Annotated[Location | None, NotIdentity] = None
    """The causal language model that a reward is fitted on. Default: the steered model."""
    label: str | None = None
    """Label of a classifier whose score is read. Default: the only one, or the one called toxic or toxicity."""
    label_means: Literal["toxic", "benign"] = "toxic"
    """What a high score of the label says; the reward is 1 for benign text."""
    max_candidates: int = Field(default=20, ge=1)
    """Most probable tokens whose reward is looked at in a step; the released top_k."""
    cross_entropy_positions: int = Field(default=32, ge=1)
    """Positions of a document (or window of it) where steering's effect on cross-entropy is measured. Ours."""
    folds: int = Field(default=5, ge=2)
    """Cross-validation folds behind the reported accuracy of a fitted reward."""

    @property
    def needs_labels(self) -> bool:
        """A classifier brings its reward."""
        return self.classifier is None

    @model_validator(mode="after")
    def _one_reward(self) -> RadArgs:
        if self.classifier is not None and self.backbone is not None:
            raise ValueError("`classifier` brings its reward, and on `backbone` one is fitted: give one of them")
        return self


def _by_name(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


_Section: TypeAlias = Annotated[
    CaaArgs | ConditionedArgs | DexpertsArgs | ItiArgs | NoneArgs | PromptArgs | RadArgs | SasaArgs | WordFilterArgs,
    Field(discriminator="name"),
]
AnyMethod: TypeAlias = Annotated[_Section, BeforeValidator(_by_name, json_schema_input_type=str | _Section)]
