"""What a mixture's YAML and the exports' `--set` may say about handing it over."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints, Tag

from infra.config.spec import BY_FORM, Spec

License = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9.+-]*$")]
"""An identifier of the Hugging Face hub, such as `cc-by-sa-3.0`, `odc-by`, `mit`; `other` and `unknown` are two too."""


class CardSpec(Spec):
    """What the data card cannot know by itself."""

    title: str | None = None
    """Heading of the card; the mixture's name where it is left out."""
    summary: str = ""
    """What the mixture is for, in a few sentences of Markdown."""
    language: tuple[str, ...] = ("en",)
    """Languages of the text, as ISO 639-1 codes."""
    licenses: dict[
        str, Annotated[Annotated[License, Tag("value")] | Annotated[tuple[License, ...], Tag("list")], BY_FORM]
    ] = Field(default_factory=dict)
    """By corpus, the licence of its text, or all of them; a corpus that is not named counts as `unknown`."""

    def of(self, corpus: str) -> tuple[str, ...]:
        """Licences of one corpus."""
        licenses = self.licenses.get(corpus, "unknown")
        return (licenses,) if isinstance(licenses, str) else licenses


class OlmoCoreOptions(Spec):
    """What `hormesis export MIXTURE --to olmo-core` can be told."""

    at_or_above: Annotated[float, Field(gt=0.0, le=1.0)] = 0.5
    """Tokens whose risk is at or above this are no target: their `label_mask` is false."""
