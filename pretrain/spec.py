"""What a pretraining YAML may say."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from infra.spec import Location, Spec

PresetName = Literal["olmo-tiny", "olmo-60m", "olmo-150m", "olmo-1b"]
Action = Literal["keep", "mask", "unlikelihood", "remove"]
Risk = Annotated[float, Field(gt=0.0, le=1.0)]
Positive = Annotated[int, Field(ge=1)]


class ModelSpec(Spec):
    """The model: a preset, and what differs from it. A plain string means the preset of that name."""

    preset: PresetName = "olmo-tiny"
    """Starting point; every key below replaces one of its values."""
    num_layers: Positive | None = None
    """Transformer layers."""
    hidden_size: Positive | None = None
    """Width of the residual stream; `ffn_hidden_size` follows as 4 × this unless given."""
    num_attention_heads: Positive | None = None
    """Query heads; key/value heads follow unless given."""
    num_query_groups: Positive | None = None
    """Key/value heads (grouped-query attention when fewer than the query heads)."""
    ffn_hidden_size: Positive | None = None
    """Width of each of the two SwiGLU projections."""
    vocab_size: Positive | None = None
    """Rows of the embedding; the tokenizer's size unless the preset fixes it."""
    max_sequence_length: Positive | None = None
    """Context length that the exported model states; the mixture's sequence length unless the preset fixes it."""


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


class LossSpec(Spec):
    """The loss policy: one action above one threshold (`policy`, `at_or_above`), or several `bands`."""

    policy: Action | None = None
    """Action for tokens at or above `at_or_above`; the default, keep, is plain cross-entropy on every token."""
    at_or_above: Risk = 0.5
    """Threshold of `policy`."""
    weight: Annotated[float, Field(gt=0.0)] = 1.0
    """Factor on the unlikelihood loss of `policy`."""
    bands: tuple[Band, ...] | None = None
    """Several thresholds, ascending, instead of `policy`."""
    components: tuple[str, ...] | None = None
    """Restrict the policy to these components of the mixture; the others keep every token. Default: all."""
    normalise_by: Literal["loss_tokens", "all_tokens"] = "loss_tokens"
    """Divide the summed loss by the tokens of the global batch that carry a loss, or by all of its tokens."""

    @model_validator(mode="after")
    def _one_way_of_saying_it(self) -> LossSpec:
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

    @property
    def needs_risk(self) -> bool:
        """Whether any token could be treated otherwise than keep."""
        return any(band.do != "keep" for band in self.effective_bands)


class OptimizerSpec(Spec):
    """AdamW with linear warm-up and cosine decay."""

    lr: Annotated[float, Field(gt=0.0)] = 3e-3
    """Peak learning rate."""
    min_lr: Annotated[float, Field(ge=0.0)] | None = None
    """Learning rate at the end; a tenth of the peak unless given."""
    warmup: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.05
    """Share of all steps over which the rate rises linearly from 0."""
    weight_decay: Annotated[float, Field(ge=0.0)] = 0.1
    """Decoupled weight decay, on every matrix (the model has nothing else)."""
    betas: tuple[Annotated[float, Field(ge=0.0, lt=1.0)], Annotated[float, Field(ge=0.0, lt=1.0)]] = (0.9, 0.95)
    """Decay rates of the first and second moment."""
    eps: Annotated[float, Field(gt=0.0)] = 1e-8
    """Added to the root of the second moment."""
    clip: Annotated[float, Field(ge=0.0)] = 1.0
    """Global gradient norm above which gradients are scaled down; 0 turns clipping off."""

    @model_validator(mode="after")
    def _min_below_peak(self) -> OptimizerSpec:
        if self.min_lr is not None and self.min_lr > self.lr:
            raise ValueError(f"min_lr ({self.min_lr}) must not exceed lr ({self.lr})")
        return self

    @property
    def final_lr(self) -> float:
        """Learning rate after the last step."""
        return self.lr / 10 if self.min_lr is None else self.min_lr


class ParallelSpec(Spec):
    """How one copy of the model is divided; data parallelism takes the ranks that are left."""

    tensor: Positive = 1
    """Tensor-parallel ranks; must divide heads, key/value heads, ffn_hidden_size and vocab_size."""
    pipeline: Positive = 1
    """Pipeline stages; must divide num_layers."""

    @property
    def model_size(self) -> int:
        """Ranks that hold one copy of the model."""
        return self.tensor * self.pipeline


class PretrainSpec(Spec):
    """One pretraining run: a mixture, a model, a loss policy."""

    name: str
    """Name of the run; the artifact is runs/NAME unless --out says otherwise."""
    mixture: Location
    """Folder of a built mixture."""
    model: ModelSpec = ModelSpec()
    """Preset name, or a preset and what differs."""
    loss: LossSpec = LossSpec()
    """Loss policy by the risk of the predicted token."""
    seed: Annotated[int, Field(ge=0, lt=2**32 - 1000)] = 0
    """Seed of initial weights and data order."""
    epochs: Positive = 1
    """Passes over the mixture; each presents every token as a target exactly once, in a new order."""
    micro_batch_size: Positive = 16
    """Sequences per forward pass and data-parallel rank; limited by memory."""
    global_batch_size: Positive = 32
    """Sequences per optimizer step over all ranks."""
    optimizer: OptimizerSpec = OptimizerSpec()
    """AdamW and its schedule."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """bf16 keeps fp32 master weights and gradient sums."""
    checkpoint_every: Positive = 500
    """Steps between checkpoints; a killed run repeats at most this many."""
    log_every: Positive = 20
    """Steps between lines of log.jsonl."""
    parallel: ParallelSpec = ParallelSpec()
    """Tensor and pipeline parallelism."""

    @field_validator("model", mode="before")
    @classmethod
    def _preset_by_name(cls, value: Any) -> Any:
        return {"preset": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _batch_divides(self) -> PretrainSpec:
        if self.global_batch_size % self.micro_batch_size:
            raise ValueError(
                f"global_batch_size ({self.global_batch_size}) must be a multiple of micro_batch_size "
                f"({self.micro_batch_size})"
            )
        return self
