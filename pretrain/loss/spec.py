"""What a YAML may say of the loss: which targets are learned, which are not, and which are unlearned."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from infra.config.spec import Spec

Action = Literal["keep", "mask", "unlikelihood", "remove"]
Risk = Annotated[float, Field(gt=0.0, le=1.0)]


class Band(Spec):
    """What happens to target tokens whose risk is at or above a threshold (and below the next band's)."""

    at_or_above: Risk
    """Threshold on the risk score, a probability."""
    do: Action
    """keep: cross-entropy. mask: no loss. unlikelihood: −log(1 − p). remove: no loss, and the input token is
    replaced.
    """
    weight: Annotated[float, Field(gt=0.0)] = 1.0
    """Factor on the unlikelihood loss."""

    @model_validator(mode="after")
    def _weight_belongs_to_unlikelihood(self) -> Band:
        if self.weight != 1.0 and self.do != "unlikelihood":
            raise ValueError("weight only applies to `unlikelihood`")
        return self


class PolicySpec(Spec):
    """What happens to risky targets: one action above one threshold (`policy`, `at_or_above`), or several `bands`."""

    policy: Action | None = None
    """Action for tokens at or above `at_or_above`; the default, keep, is plain cross-entropy on every token."""
    at_or_above: Risk = 0.5
    """Threshold of `policy`."""
    weight: Annotated[float, Field(gt=0.0)] = 1.0
    """Factor on the unlikelihood loss of `policy`."""
    bands: tuple[Band, ...] | None = None
    """Several thresholds, ascending, instead of `policy`."""

    @model_validator(mode="after")
    def _one_way_of_saying_it(self) -> PolicySpec:
        if self.bands is None:
            return self
        if self.policy is not None or self.at_or_above != 0.5 or self.weight != 1.0:
            raise ValueError("give either `policy` (with `at_or_above`, `weight`) or `bands`, not both")
        edges = [band.at_or_above for band in self.bands]
        if edges != sorted(set(edges)):
            raise ValueError("bands must ascend in `at_or_above`, each value once")
        return self

    @property
    def effective_bands(self) -> tuple[Band, ...]:
        """The policy as bands; empty when every token is kept."""
        if self.bands is not None:
            return self.bands
        if self.policy in (None, "keep"):
            return ()
        return (Band(at_or_above=self.at_or_above, do=self.policy, weight=self.weight),)


SlungArm = Literal["slung-control", "slung-low-risk", "slung-toxic", "slung-masked", "slung-unlikelihood"]

# Arms of SLUNG (Wang et al. 2025, arXiv 2505.03052) by its thresholds: above 1e-4 a span is of class 2, above 0.99 of
# class 3. The first three learn every token and differ in the mixture: without risky documents, with the risky spans
# of those cut out, with them as they are.
_SLUNG: dict[str, tuple[Band, ...]] = {
    "slung-control": (),
    "slung-low-risk": (),
    "slung-toxic": (),
    "slung-masked": (Band(at_or_above=1e-4, do="mask"),),
    "slung-unlikelihood": (Band(at_or_above=0.99, do="unlikelihood"),),
}


class LossSpec(PolicySpec):
    """The loss policy of a run. A plain string means the arm of SLUNG (arXiv 2505.03052) of that name."""

    preset: SlungArm | None = None
    """An arm of SLUNG instead of `policy` or `bands`."""
    components: tuple[str, ...] | None = None
    """Restrict the policy to these components of the mixture; the others keep every token. Default: all."""
    by_component: dict[str, PolicySpec] = Field(default_factory=dict)
    """Components with a policy of their own."""
    attribute: str | None = None
    """Attribute that the policy is meant for; a mixture whose risk bytes are of another is refused."""
    begin_at: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    """Share of the run's steps after which the policy holds; until then every token is kept."""
    normalise_by: Literal["loss_tokens", "all_tokens"] = "loss_tokens"
    """Divide the summed loss by the tokens of the global batch that carry a loss, or by all of its tokens."""

    @model_validator(mode="after")
    def _exclusive(self) -> LossSpec:
        keys = {"policy", "at_or_above", "weight", "bands"} & self.model_fields_set
        if self.preset is not None and keys:
            raise ValueError(f"`preset: {self.preset}` is a whole policy; leave out {', '.join(sorted(keys))}")
        if twice := set(self.components or ()) & self.by_component.keys():
            raise ValueError(f"{min(twice)!r} is in `components` and in `by_component`; name it once")
        return self

    def identity(self) -> dict[str, Any]:
        """What it means, however it is written: bands; keys younger than the first artifacts where they are set."""
        younger = self.model_dump(mode="json", include={"begin_at", "by_component"}, exclude_defaults=True)
        return {
            "bands": [band.identity() for band in self.effective_bands],
            "components": None if self.components is None else sorted(self.components),
            "normalise_by": self.normalise_by,
        } | younger

    @property
    def effective_bands(self) -> tuple[Band, ...]:
        """The policy as bands, for every component that has none of its own; empty when every token is kept."""
        return super().effective_bands if self.preset is None else _SLUNG[self.preset]

    def bands_of(self, component: str) -> tuple[Band, ...]:
        """The bands that hold for a component."""
        if component in self.by_component:
            return self.by_component[component].effective_bands
        return self.effective_bands if self.components is None or component in self.components else ()

    def needs_risk(self, component: str) -> bool:
        """Whether any of a component's tokens could be treated otherwise than keep."""
        return any(band.do != "keep" for band in self.bands_of(component))


def by_preset(value: Any) -> Any:
    """A plain string is the name of a preset."""
    return {"preset": value} if isinstance(value, str) else value


Loss = Annotated[LossSpec, BeforeValidator(by_preset, json_schema_input_type=SlungArm | LossSpec)]
