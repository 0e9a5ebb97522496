"""The YAML of `kind: fasttext`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from curation.models.fasttext import FasttextTraining
from curation.sources.spec import MAX_BAD_SHARE, SourceSpec
from infra.config.identity import NotIdentity
from infra.config.spec import FileName, Seed, Spec


class ExamplesSpec(Spec):
    """Texts of one label, or texts that carry their label."""

    source: SourceSpec
    """Where the texts are."""
    label: str | None = None
    """The label of all of them."""
    label_key: str | None = None
    """Key of the label, or of a list of labels; a dot goes one level down."""
    names: dict[str, str] = Field(default_factory=dict)
    """Stored label -> what the model is to call it: `{"1": toxic, "0": clean}`."""

    @model_validator(mode="after")
    def _one_of_them(self) -> ExamplesSpec:
        if (self.label is None) == (self.label_key is None):
            raise ValueError("give label (all texts have it) or label_key (where each text's own is stored)")
        return self


class FasttextStageSpec(Spec):
    """Labelled texts in, a classifier out."""

    name: FileName
    """Folder of the artifact below runs/."""
    examples: tuple[ExamplesSpec, ...] = Field(min_length=1)
    """What it learns from."""
    training: FasttextTraining = FasttextTraining()
    """fastText's own options."""
    max_bad_share: Annotated[float, NotIdentity] = Field(MAX_BAD_SHARE, ge=0, le=1)
    """Share of unusable lines above which the training stops; no part of the fingerprint."""
    held_out: float = Field(0.1, gt=0, lt=1)
    """Share of the texts that the classifier is judged on and has not seen. Equal texts stay together."""
    seed: Seed = 0
    """Another seed holds out other texts."""
