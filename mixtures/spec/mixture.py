"""What a mixture's YAML may say."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, StringConstraints, Tag, field_validator, model_validator

from curation.corpus.where import Where, parse
from infra.config.faults import nearest
from infra.config.identity import InOrder, NotIdentity, OnlyIfSet
from infra.config.spec import BY_FORM, FileName, Location, Seed, Spec
from infra.jobs.spec import ExecutionSpec
from mixtures.spec.amounts import Amount, parse_fraction, shares_of_total
from mixtures.spec.conditioning import ConditioningSpec, Expression
from mixtures.spec.contamination import DecontaminationSpec
from mixtures.spec.handover import CardSpec
from mixtures.spec.megatron import MegatronSpec
from mixtures.spec.overlap import OverlapSpec

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")]
"""Letters, digits, `-` and `_`: it becomes a file name, and a dot would collide with the `.risk` twin."""


def _share(value: float | str) -> float | str:
    if not 0 <= parse_fraction(value) < 1:
        raise ValueError("a share of the whole lies between 0 and 1 (1 itself leaves no room for the others)")
    return value


def _ratio(value: float | str) -> float | str:
    if not 0 <= parse_fraction(value) <= 1:
        raise ValueError("a share of another component lies between 0 and 1; turn it round and let the larger one lead")
    return value


Share = Annotated[float | str, AfterValidator(_share)]
Ratio = Annotated[float | str, AfterValidator(_ratio)]


Source = tuple[str, float | None]
"""A corpus, and the score from which its risky spans are cut out before tokenising (None: none are)."""

AMOUNTS = ("tokens", "fraction_of_total", "fraction_of")


class ByScore(Spec):
    """Documents by one of their scores."""

    by: str
    """The score."""
    descending: bool = False
    """Highest first."""


class RiskySpansSpec(Spec):
    """What becomes of risky spans before training, whoever trains; held-out documents keep theirs."""

    do: Literal["cut", "replace"]
    """cut: they are taken out of the text before it is tokenised (SLUNG's low-risk arm, arXiv 2505.03052).
    replace: their tokens become <|removed|>, which is read and never a target (the removal arm)."""
    at_or_above: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Score from which a span is risky; SLUNG cuts from 1.0e-4."""


class ComponentSpec(Spec):
    """A selection of one corpus, with an amount."""

    corpus: FileName
    """Corpus of the curation artifact to take documents from."""
    where: Expression | None = None
    """Which documents: an expression over scores, language, source, id, characters, metadata.KEY, spans.count,
    spans.max, spans.min and risky_share (of tokens); none means all."""
    tokens: Annotated[int, Field(ge=0, strict=True)] | Literal["all"] | None = None
    """Amount in tokens (the EOS of each document counts), or `all`: every training document once."""
    fraction_of_total: Share | None = None
    """Amount as a share of the whole mixture: 0.1 or "1/3"."""
    fraction_of: Annotated[dict[str, Ratio] | None, OnlyIfSet] = None
    """Amount as a share of another component's tokens: {clean: 0.1}."""
    max_epochs: Annotated[int, Field(ge=1, strict=True)] = 1
    """How often a document may be repeated at most; asking for more tokens than that gives is an error."""
    order: Annotated[
        Annotated[Literal["shuffled", "corpus"], Tag("value")] | Annotated[ByScore, Tag("section")], BY_FORM, OnlyIfSet
    ] = "shuffled"
    """Order in which its documents are trained on, whichever are taken: shuffled anew each epoch, as they stand in the
    corpus, or by a score ({by: toxicity}); repetitions of a document stay epochs apart."""
    risky_spans: Annotated[RiskySpansSpec | None, OnlyIfSet] = None
    """Cut risky spans out, or replace their tokens; none leaves them to the loss policy."""

    @model_validator(mode="after")
    def _one_amount(self) -> ComponentSpec:
        named = [name for name in AMOUNTS if getattr(self, name) is not None]
        if len(named) != 1:
            raise ValueError(f"say how much, in one way: {', '.join(AMOUNTS)} (tokens: a number or `all`)")
        if self.fraction_of is not None and len(self.fraction_of) != 1:
            raise ValueError("fraction_of names one component and the share of it: fraction_of: {clean: 0.1}")
        return self

    def identity(self) -> dict[str, Any]:
        """As marked; 0.1, 0.10 and "1/10" are one amount."""
        fraction, of = self.amount.fraction, self.amount.of
        share = None if fraction is None else str(fraction)
        amount = {"fraction_of_total": share} if of is None else {"fraction_of_total": None, "fraction_of": {of: share}}
        return super().identity() | amount

    @property
    def amount(self) -> Amount:
        """The amount as the arithmetic wants it."""
        if self.fraction_of is not None:
            ((other, ratio),) = self.fraction_of.items()
            return Amount(fraction=parse_fraction(ratio), of=other)
        share = None if self.fraction_of_total is None else parse_fraction(self.fraction_of_total)
        return Amount(
            tokens=self.tokens if isinstance(self.tokens, int) else None,
            everything=self.tokens == "all",
            fraction=share,
        )

    @property
    def source(self) -> Source:
        """What its training documents are tokenised from."""
        return self.corpus, self.cut

    @property
    def cut(self) -> float | None:
        """The score from which spans are cut out before tokenising; None: none are."""
        spans = self.risky_spans
        return spans.at_or_above if spans is not None and spans.do == "cut" else None

    @property
    def condition(self) -> Where | None:
        """The parsed `where`."""
        return None if self.where is None else parse(self.where)


class TrainBpeSpec(Spec):
    """A byte-level BPE trained on the training documents of one component."""

    component: Annotated[str, NotIdentity]
    """Component whose documents (hold-out excluded) it is trained on."""
    vocab_size: Annotated[int, Field(ge=260, le=1_000_000)] = 4096
    """Entries in all: 256 bytes, 3 special tokens and the merges."""
    sample_characters: Annotated[int, Field(ge=1)] = 200_000_000
    """Train on about this many characters at most (documents chosen by seeded hash)."""


class TokenizerSpec(Spec):
    """Exactly one of: `train_bpe`, `file` (any tokenizer.json), `hub` (a Hugging Face name)."""

    train_bpe: TrainBpeSpec | None = None
    """Train a BPE on a component; for small studies."""
    file: Annotated[Location | None, NotIdentity] = None
    """Path of a tokenizer.json."""
    hub: str | None = None
    """Hugging Face model whose fast tokenizer is used."""
    revision: str | None = None
    """Revision on the hub; pin a commit where bytes must not change."""
    eos: str | None = None
    """Token that ends a document; needed where the tokenizer does not say which it is."""

    @model_validator(mode="after")
    def _one_origin(self) -> TokenizerSpec:
        named = [name for name in ("train_bpe", "file", "hub") if getattr(self, name) is not None]
        if len(named) != 1:
            raise ValueError("name exactly one of train_bpe, file, hub")
        if self.revision is not None and self.hub is None:
            raise ValueError("revision belongs to a hub tokenizer")
        if self.train_bpe is not None and self.eos is not None:
            raise ValueError("a trained BPE brings its own <|endoftext|>; leave eos out")
        return self


class PackingSpec(Spec):
    """How documents, each ended by an EOS, are put into training sequences one after another; the trainer reads it."""

    together: Literal["component", "all"] = "component"
    """component: a sequence holds documents of one component only, as SLUNG (arXiv 2505.03052) packs risky documents.
    all: the documents of all components follow each other in one stream."""
    reset_attention: bool = False
    """Whether a token sees its own document only (and the EOS before it), or also what came before in its sequence."""


class MixtureSpec(Spec):
    """Components, amounts, a tokenizer and a seed."""

    name: Annotated[FileName, NotIdentity]
    """Name of the run; the artifact goes to runs/NAME."""
    seed: Seed = 0
    """Decides which documents are held out and in which order the others are taken."""
    curation: Annotated[Location | None, NotIdentity] = None
    """Curation artifact (folder) that holds the corpora; needed unless all of them are under `megatron`."""
    megatron: Annotated[dict[Name, MegatronSpec], NotIdentity] = Field(default_factory=dict)
    """Corpora that are tokenised already, by name."""
    tokenizer: TokenizerSpec
    """How text becomes tokens."""
    sequence_length: Annotated[int, Field(ge=2)]
    """Tokens per training sample; the trainer reads it."""
    risk: str | None = None
    """Attribute whose spans become the risk byte; none means that every token is unscored."""
    components: Annotated[dict[Name, ComponentSpec], InOrder]
    """What the mixture is made of."""
    hold_out: Annotated[dict[str, Annotated[int, Field(ge=0, strict=True)]], NotIdentity] = Field(default_factory=dict)
    """Tokens per component that no arm trains on, by whole documents (at least this many)."""
    packing: Annotated[PackingSpec, OnlyIfSet] = PackingSpec()
    """How documents share sequences."""
    conditioning: Annotated[ConditioningSpec | None, OnlyIfSet] = None
    """Prefixes before training documents, made from their scores; they come on top of the amounts."""
    decontaminate: Annotated[DecontaminationSpec | None, OnlyIfSet] = None
    """Evaluation sets that must not be in it."""
    overlap: Annotated[OverlapSpec | None, OnlyIfSet] = None
    """Measure equal and nearly equal documents between components, and between training and held-out ones."""
    card: Annotated[CardSpec | None, OnlyIfSet] = None
    """Title, summary, language and licences for the data card of `hormesis export`."""
    execution: Annotated[ExecutionSpec, NotIdentity] = ExecutionSpec()
    """What workers get on a cluster; no part of the fingerprint, since it changes no byte."""

    @field_validator("components")
    @classmethod
    def _amounts_refer_to_something(cls, components: dict[str, ComponentSpec]) -> dict[str, ComponentSpec]:
        if not components:
            raise ValueError("a mixture needs at least one")
        if len(shares_of_total({name: component.amount for name, component in components.items()})) == len(components):
            raise ValueError("at least one needs tokens of its own for the shares to refer to")
        return components

    @model_validator(mode="after")
    def _consistent(self) -> MixtureSpec:
        for name in self.hold_out:
            if name not in self.components:
                raise ValueError(f"hold_out: there is no component {name!r}{nearest(name, self.components)}")
        bpe = self.tokenizer.train_bpe
        if bpe is not None and bpe.component not in self.components:
            hint = nearest(bpe.component, self.components)
            raise ValueError(f"tokenizer.train_bpe: there is no component {bpe.component!r}{hint}")
        self._check_conditioning()
        self._check_shares()
        self._check_card()
        self._check_corpora()
        return self

    def identity(self) -> dict[str, Any]:
        """As marked; a component with what is held out of it, the tokenizer with the component it is trained on."""
        identity = super().identity()
        for component in identity["components"]:
            component["hold_out"] = self.hold_out.get(component["name"], 0)
        if self.tokenizer.train_bpe is not None:
            identity["tokenizer"]["component"] = self.tokenizer.train_bpe.component
        return identity

    def _check_card(self) -> None:
        corpora = {component.corpus for component in self.components.values()}
        for name in self.card.licenses if self.card else ():
            if name not in corpora:
                raise ValueError(f"card.licenses: no component takes from corpus {name!r}{nearest(name, corpora)}")

    @property
    def sources(self) -> tuple[Source, ...]:
        """What is tokenised: every corpus, and once more with its risky spans cut out where a component wants that."""
        sources: dict[Source, None] = {}
        for component in self.components.values():
            sources |= dict.fromkeys(((component.corpus, None), component.source))
        return tuple(sources)

    @property
    def conditioned(self) -> tuple[str, ...]:
        """The components whose documents get prefixes."""
        if self.conditioning is None:
            return ()
        return tuple(self.components) if self.conditioning.components is None else self.conditioning.components

    def _check_conditioning(self) -> None:
        for name in (self.conditioning and self.conditioning.components) or ():
            if name not in self.components:
                raise ValueError(f"conditioning.components: no component {name!r}{nearest(name, self.components)}")
        if self.conditioning and self.risk is None and any(where.shares for where in self.conditioning.wheres()):
            raise ValueError("conditioning: risky_share is of the tokens at risk; say which risk: …")

    def _check_corpora(self) -> None:
        """Every corpus comes from somewhere, and tokens that are there already from a tokenizer that is named."""
        for name, component in self.components.items():
            if self.curation is None and component.corpus not in self.megatron:
                hint = nearest(component.corpus, self.megatron)
                reason = f"corpus {component.corpus!r} is not under megatron, and no curation is named{hint}"
                raise ValueError(f"components.{name}: {reason}")
            if component.cut is not None and component.corpus in self.megatron:
                raise ValueError(
                    f"components.{name}.risky_spans: tokens under megatron have no text to cut spans out of"
                )
        if self.megatron and self.decontaminate is not None:
            raise ValueError(
                "decontaminate: corpora under megatron are not looked through; curate them from their texts, or leave "
                "decontaminate out"
            )
        if self.megatron and self.tokenizer.train_bpe is not None:
            raise ValueError(
                "tokenizer.train_bpe: the corpora under megatron were tokenised with a tokenizer of their own; name it "
                "as tokenizer.file or tokenizer.hub"
            )

    def _check_shares(self) -> None:
        """A share of risky tokens needs tokens, and somebody who says what is risky."""
        bpe = self.tokenizer.train_bpe
        for name, component in self.components.items():
            if component.risky_spans is not None and self.risk is None:
                raise ValueError(f"components.{name}.risky_spans: say which spans are at risk with risk: …")
            if not component.condition or not component.condition.shares:
                continue
            if self.risk is None:
                raise ValueError(f"components.{name}.where: risky_share is of the tokens at risk; say which risk: …")
            if bpe is not None and bpe.component == name:
                raise ValueError(
                    f"tokenizer.train_bpe: component {name!r} is chosen by its share of risky tokens, which are "
                    "counted with this tokenizer; train on another component, or name a file"
                )


class TokenizerStageSpec(Spec):
    """The tokenizer of a mixture as a stage of its own, so that all doses share it."""

    source: TokenizerSpec
    """Where it comes from."""
    curation: Location | None = None
    """Curation artifact a BPE is trained on."""
    corpus: str | None = None
    """Corpus a BPE is trained on."""
    where: Expression | None = None
    """Which of its documents."""
    hold_out: int = 0
    """Tokens of the hold-out that it must not see."""
    seed: Seed = 0
    """The mixture's seed (it decides which documents are held out)."""

    def identity(self) -> dict[str, Any]:
        """The tokenizer's, and where one is trained, on what."""
        trained = {"corpus": self.corpus, "where": self.where, "hold_out": self.hold_out, "seed": self.seed}
        return self.source.identity() | ({} if self.curation is None else trained)


class TokensSpec(Spec):
    """One corpus tokenised, with the risk twin: made once, shared by every dose."""

    curation: Annotated[Location | None, NotIdentity] = None
    """Curation artifact."""
    megatron: Annotated[MegatronSpec | None, NotIdentity] = None
    """Megatron files instead of it."""
    corpus: str
    """Corpus in it, or name of the files."""
    tokenizer: Annotated[Location, NotIdentity]
    """Tokenizer artifact."""
    risk: str | None = None
    """Attribute whose spans become the risk byte."""
    cut: Annotated[float | None, OnlyIfSet] = None
    """Score from which these spans are cut out of the text first; none are where it is not given."""


def tokenizer_stage_spec(spec: MixtureSpec) -> TokenizerStageSpec:
    """The tokenizer stage that `spec` needs; amounts do not enter, so that it is the same at every dose."""
    bpe = spec.tokenizer.train_bpe
    if bpe is None:
        return TokenizerStageSpec(source=spec.tokenizer)
    component = spec.components[bpe.component]
    return TokenizerStageSpec(
        source=spec.tokenizer,
        curation=spec.curation,
        corpus=component.corpus,
        where=component.where,
        hold_out=spec.hold_out.get(bpe.component, 0),
        seed=spec.seed,
    )


def with_dose(spec: MixtureSpec, component: str, dose: float | str, name: str | None = None) -> MixtureSpec:
    """The same mixture with `component` at the share `dose` of the whole: what a study's arms differ in.

    Everything else stays: the hold-out, the tokenizer, the other components' documents and their order. Dose 0 keeps
    the component, with no token in training and its hold-out as in every arm. Raises ValueError on an unknown
    component.
    """
    if component not in spec.components:
        raise ValueError(f"there is no component {component!r}{nearest(component, spec.components)}")
    data: dict[str, Any] = spec.model_dump()
    data["components"][component] |= dict.fromkeys(AMOUNTS) | {"fraction_of_total": dose}
    return MixtureSpec.model_validate(data | {"name": name or spec.name})
