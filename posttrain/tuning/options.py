"""The `method:` section of `kind: tune`: the settings of every method that changes weights, told apart by `name`. Light
to import.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, TypeAlias

from pydantic import Discriminator, Field, Tag, model_validator

from curation.scorers.options import AnyScorer
from curation.sources.spec import SourceSpec
from infra.config.identity import NotIdentity
from infra.config.spec import Location, Seed, Spec, keys_of

Positive = Annotated[int, Field(ge=1)]


class HeldOutSpec(Spec):
    """Documents that a mixture holds out, the same in every arm of a study."""

    mixture: Annotated[Location, NotIdentity]
    """Mixture artifact."""
    components: tuple[str, ...] | None = Field(None, min_length=1)
    """Components whose held-out documents are read; all of them unless given."""


def _texts_tag(value: object) -> str:
    return "mixture" if "mixture" in keys_of(value) else "source"


AnyTexts: TypeAlias = Annotated[
    Annotated[HeldOutSpec, Tag("mixture")] | Annotated[SourceSpec, Tag("source")], Discriminator(_texts_tag)
]
"""Held-out documents of a mixture (`mixture:`), or files, a wheel or a data set of the hub (`path:`)."""


class SampledSpec(Spec):
    """Continuations that the model writes, and what scores them."""

    prompts: Annotated[AnyTexts, NotIdentity]
    """Texts that are continued."""
    limit: Positive | None = None
    """At most this many prompts, drawn by the seed."""
    prompt_tokens: Positive = 64
    """A text is cut into prompts of so many tokens, each followed by room for a continuation. Lee et al. 2024 (arXiv
    2401.01967, released code): at most 64.
    """
    samples: Positive = 8
    """Continuations of each prompt. Ours."""
    max_new_tokens: Positive = 64
    """Tokens of a continuation, at most. Lee et al.: 64."""
    top_p: float = Field(0.9, gt=0, le=1)
    """Nucleus: sample among the likeliest tokens of this total probability."""
    temperature: float = Field(1.0, gt=0)
    """Above 0: samples of one prompt must differ."""
    scorer: Annotated[AnyScorer, NotIdentity]
    """What decides how toxic a continuation is."""
    attribute: str = "toxicity"
    """Attribute of the scorer that counts."""


class PairsSpec(Spec):
    """Pairs that somebody has made, one a record."""

    path: Annotated[Location, NotIdentity]
    """File, wheel or data set, as in `sources:` of a curation."""
    sha256: Annotated[str | None, Field(pattern=r"^[0-9a-f]{64}$"), NotIdentity] = None
    """Checksum of the wheel; needed for `wheel:`."""
    prompt: str | None = "prompt"
    """Key of the prompt; null: there is none, and both texts begin a document."""
    chosen: str = "chosen"
    """Key of the preferred text. Keys are dotted as in `sources:`: `neutral.0` is the first of a list."""
    rejected: str = "rejected"
    """Key of the other text."""
    ended: bool = True
    """Whether the texts are whole, so that the end-of-text token follows them; false for continuations that were cut
    off, as most in a `pairs.jsonl` are.
    """
    limit: Positive | None = None
    """At most this many pairs, drawn by the seed."""


class ContinuationsSpec(SampledSpec):
    """Pairs out of the model's own continuations: of each prompt the mildest is preferred to the most toxic.

    After Lee et al. 2024 (arXiv 2401.01967), who take a greedy continuation and one that PPLM pushed towards toxicity;
    here both are samples of the unchanged model.
    """

    min_difference: float = Field(0.3, gt=0, le=1)
    """Difference of scores from which a prompt gives a pair; the others are left out and counted. Ours."""


def _pairs_tag(value: object) -> str:
    return "continuations" if "prompts" in keys_of(value) else "pairs"


AnyPairs: TypeAlias = Annotated[
    Annotated[PairsSpec, Tag("pairs")] | Annotated[ContinuationsSpec, Tag("continuations")], Discriminator(_pairs_tag)
]
"""Pairs from a file (`path:`), or made of the model's own continuations (`prompts:`)."""


class LoraSpec(Spec):
    """Train low-rank factors beside every linear layer (Hu et al. 2021, arXiv 2106.09685), added to it at the end."""

    rank: Positive = 16
    """Rank of the factors."""
    alpha: float = Field(32.0, gt=0)
    """The product of the factors counts alpha / rank times."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Of the factors' input, while training."""


class TuningArgs(Spec):
    """What every method can be told of its optimisation."""

    loss_of: ClassVar[str] = "the continuation"
    """Tokens that bear the loss, in words."""
    name: str
    learning_rate: float = Field(2e-5, gt=0)
    """Highest learning rate. TRL's default for fine-tuning."""
    schedule: Literal["constant", "linear", "cosine"] = "linear"
    """How it falls after the warm-up."""
    warmup_steps: int = Field(0, ge=0)
    """Steps over which it rises from 0."""
    optimizer: Literal["adamw", "rmsprop", "sgd"] = "adamw"
    """PyTorch's, with its defaults."""
    weight_decay: float = Field(0.0, ge=0)
    """Of AdamW, not of biases and norms."""
    gradient_clip: float = Field(1.0, gt=0)
    """Norm to which the gradient is cut."""
    epochs: Positive = 1
    """Passes over the data."""
    max_steps: Positive | None = None
    """Steps, whatever `epochs` says."""
    batch_size: Positive = 16
    """Examples (for dpo: pairs) of a step."""
    micro_batch_size: Annotated[Positive | None, NotIdentity] = None
    """Examples in memory at once, which must divide `batch_size`; all of a step unless given."""
    lora: LoraSpec | None = None
    """Low-rank training; unless given, all weights are trained."""

    @model_validator(mode="after")
    def _batch_divides(self) -> TuningArgs:
        if self.batch_size % (self.micro_batch_size or 1):
            raise ValueError(f"batch_size ({self.batch_size}) must be a multiple of micro_batch_size "
                             f"({self.micro_batch_size})")  # fmt: skip
        return self

    @property
    def accumulated(self) -> int:
        """Micro-batches of a step."""
        return self.batch_size // (self.micro_batch_size or self.batch_size)

    def steps_for(self, examples: int) -> int:
        """Optimizer steps over so many examples; what is left of an epoch is a smaller step."""
        per_epoch = -(-examples // self.batch_size)
        return self.max_steps if self.max_steps is not None else per_epoch * self.epochs


class PairwiseArgs(TuningArgs):
    """Settings of the methods that learn from pairs."""

    data: AnyPairs
    """Pairs of continuations."""
    max_prompt_tokens: Positive = 64
    """Last tokens of a prompt that are read. Lee et al.: 64."""
    max_continuation_tokens: Positive = 64
    """First tokens of a continuation that bear the loss. Lee et al.: 64."""


class SftArgs(PairwiseArgs):
    """Supervised fine-tuning on the preferred text of each pair."""

    name: Literal["sft"] = "sft"


class DpoArgs(PairwiseArgs):
    """Direct preference optimisation (Rafailov et al. 2023, arXiv 2305.18290); defaults of Lee et al. 2024."""

    name: Literal["dpo"] = "dpo"
    beta: float = Field(0.1, gt=0)
    """How dear it is to move away from the model as it was. Lee et al.: 0.1."""
    learning_rate: float = Field(1e-6, gt=0)
    """Highest learning rate. Lee et al.: 1e-6, with GPT-2 medium."""
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    """How it falls after the warm-up. Lee et al.: not at all."""
    warmup_steps: int = Field(150, ge=0)
    """Steps over which it rises from 0. Lee et al.: 150."""
    optimizer: Literal["adamw", "rmsprop", "sgd"] = "rmsprop"
    """PyTorch's, with its defaults. Lee et al.: RMSprop."""
    gradient_clip: float = Field(10.0, gt=0)
    """Norm to which the gradient is cut. Lee et al.: 10."""
    batch_size: Positive = 4
    """Pairs of a step. Lee et al.: 4."""


class ChatSourceSpec(Spec):
    """Chats from files, one a record: a list of `{role, content}`, or a prompt and its response."""

    path: Annotated[Location, NotIdentity]
    """File, wheel or data set, as in `sources:` of a curation."""
    sha256: Annotated[str | None, Field(pattern=r"^[0-9a-f]{64}$"), NotIdentity] = None
    """Checksum of the wheel; needed for `wheel:`."""
    fraction: float = Field(1.0, gt=0)
    """Share of all examples; the shares of the sources are divided by their sum."""
    messages: str | None = "messages"
    """Key of the list of messages; null where there are `prompt` and `response`."""
    prompt: str | None = None
    """Key of what the user says."""
    response: str | None = None
    """Key of what the assistant answers."""

    @model_validator(mode="after")
    def _one_form(self) -> ChatSourceSpec:
        alone = self.prompt is not None and self.response is not None and self.messages is None
        if not alone and (self.messages is None or self.prompt is not None or self.response is not None):
            raise ValueError("either `messages`, or `messages: null` with `prompt` and `response`")
        return self


class InstructArgs(TuningArgs):
    """Supervised fine-tuning on a mixture of chats, as Tulu 3 does it (Lambert et al. 2024, arXiv 2411.15124)."""

    loss_of: ClassVar[str] = "the assistant's turns"
    name: Literal["instruct"] = "instruct"
    sources: tuple[ChatSourceSpec, ...] = Field(min_length=1)
    """Where the chats come from, each with its share."""
    examples: Positive
    """Chats drawn in all, by the seed, none twice."""
    max_tokens: Positive = 1024
    """First tokens of a chat that are read; at most what the model can."""
    learning_rate: float = Field(5e-6, gt=0)
    """Highest learning rate. Tulu 3: 5e-6, with 8 billion parameters."""
    epochs: Positive = 2
    """Passes over the data. Tulu 3: 2."""


class MeasureSpec(SampledSpec):
    """How toxicity is measured while a model relearns."""

    samples: Positive = 1
    """Continuations of each prompt."""
    max_new_tokens: Positive = 20
    """Tokens of a continuation, at most. RealToxicityPrompts (arXiv 2009.11462): 20."""
    prompt_tokens: Positive = 32
    """As in the other methods. Lee et al. measure with at most 32."""
    seed: Seed = 0
    """Draws prompts and continuations, the same at every measurement."""


class RelearnArgs(TuningArgs):
    """Relearning attack: fine-tune on toxic text until toxicity is back, and say after how many steps it was."""

    loss_of: ClassVar[str] = "all tokens"
    name: Literal["unlearn-relearn"] = "unlearn-relearn"
    texts: Annotated[AnyTexts, NotIdentity]
    """Toxic texts; of a mixture usually `components: [risky]`."""
    measure: MeasureSpec
    """How toxicity is measured."""
    measure_every: Positive = 10
    """Steps between measurements; one is made before the first step."""
    until: float = Field(gt=0, le=1)
    """Mean score at or above which toxicity is back: training stops there."""
    max_steps: Positive = 200
    """Steps after which it is given up."""
    max_tokens: Positive = 128
    """Tokens of an example; longer texts are several."""
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    """How the learning rate falls after the warm-up."""


AnyTuning: TypeAlias = Annotated[
    DpoArgs | InstructArgs | RelearnArgs | SftArgs,
    Field(discriminator="name"),
]
