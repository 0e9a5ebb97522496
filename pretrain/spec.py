"""What a pretraining YAML may say."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from infra.config.identity import NotIdentity, OnlyIfSet
from infra.config.spec import FileName, Location, Spec
from pretrain.launchers.options import AnyLauncher, LocalSpec
from pretrain.loss.spec import Loss, LossSpec, by_preset

PresetName = Literal["olmo-tiny", "olmo-60m", "olmo-150m", "olmo-1b"]
LogitsMemory = Literal["auto", "hold", "recompute"]
Implementation = Literal["auto", "local", "transformer_engine"]
Positive = Annotated[int, Field(ge=1)]

COLLECTIVE_TIMEOUT = 30.0
"""Minutes that a rank waits for the others in a collective, unless a file says otherwise."""

LOGITS_AT_ONCE = 2**26
"""Logits that are worked on at one time on a GPU: 256 MiB in fp32."""


def recomputes_logits(choice: LogitsMemory, size: int) -> bool:
    """Whether logits are computed again in the backward pass, where holding a micro-batch's takes `size` bytes."""
    return choice == "recompute" or (choice == "auto" and size > 2**31)


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


class StartSpec(Spec):
    """What a run begins with instead of random weights. A plain string is the location of the weights."""

    model: Annotated[Location, NotIdentity]
    """A Hugging Face folder of OlmoForCausalLM, or a pretraining artifact."""
    step: Positive | None = None
    """The artifact's checkpoint after this step (see `keep_every`); its end unless given."""
    optimizer: Literal["restart", "continue"] = "restart"
    """continue: the moments of AdamW are those of the artifact's checkpoint."""
    learning_rate: Literal["restart", "continue"] = "restart"
    """continue: the artifact's schedule goes on where the checkpoint left it, instead of the one declared here."""

    @property
    def needs_checkpoint(self) -> bool:
        """Whether the exported weights are not enough."""
        return self.step is not None or "continue" in (self.optimizer, self.learning_rate)


class ScheduleSpec(Spec):
    """A learning-rate schedule of which the run is a part: how a schedule that another trainer began is continued."""

    steps: Positive
    """Steps of the whole schedule; `warmup` is a share of these."""
    taken: Annotated[int, Field(ge=0), OnlyIfSet] = 0
    """Steps of it that were taken before this run."""

    @model_validator(mode="after")
    def _not_over(self) -> ScheduleSpec:
        if self.taken >= self.steps:
            raise ValueError(f"taken ({self.taken}) must be below steps ({self.steps})")
        return self


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
    schedule: Annotated[ScheduleSpec | None, OnlyIfSet] = None
    """Where the run's steps lie in a longer schedule; unless given they are the schedule."""

    @model_validator(mode="after")
    def _min_below_peak(self) -> OptimizerSpec:
        if self.min_lr is not None and self.min_lr > self.lr:
            raise ValueError(f"min_lr ({self.min_lr}) must not exceed lr ({self.lr})")
        return self

    @property
    def final_lr(self) -> float:
        """Learning rate after the last step."""
        return self.lr / 10 if self.min_lr is None else self.min_lr


class ProfileSpec(Spec):
    """A torch.profiler trace, in RUN/profile."""

    after: Positive = 5
    """Steps of this process before the first that is traced."""
    steps: Positive = 3
    """Steps that are traced."""


class ParallelSpec(Spec):
    """How one copy of the model is divided; data parallelism takes the ranks that are left."""

    tensor: Positive = 1
    """Tensor-parallel ranks; must divide heads, key/value heads and ffn_hidden_size."""
    sequence: bool = False
    """Sequence parallelism: the tensor ranks also divide norms and residuals, along the sequence; saves activations."""
    pipeline: Positive = 1
    """Pipeline stages; must divide num_layers."""
    context: Positive = 1
    """Context-parallel ranks, which divide every sequence; twice this must divide the mixture's sequence length."""
    distributed_optimizer: bool = False
    """Divide the optimizer's state and fp32 weights over the copies of the model (ZeRO stage 1)."""

    @model_validator(mode="after")
    def _sequence_needs_tensor(self) -> ParallelSpec:
        if self.sequence and self.tensor == 1:
            raise ValueError("`sequence: true` divides over the tensor ranks; set `tensor` to 2 or more")
        return self

    @property
    def model_size(self) -> int:
        """Ranks that hold one copy of the weights."""
        return self.tensor * self.pipeline

    @property
    def copy_size(self) -> int:
        """Ranks that work on one sequence together."""
        return self.model_size * self.context


def _from_location(value: Any) -> Any:
    return {"model": value} if isinstance(value, str) else value


Model = Annotated[ModelSpec, BeforeValidator(by_preset, json_schema_input_type=PresetName | ModelSpec)]
Start = Annotated[StartSpec, BeforeValidator(_from_location, json_schema_input_type=str | StartSpec)]


class PretrainSpec(Spec):
    """One pretraining run: a mixture, a model, a loss policy."""

    name: Annotated[FileName, NotIdentity]
    """Name of the run; the artifact is runs/NAME unless --out says otherwise."""
    mixture: Annotated[Location, NotIdentity]
    """Folder of a built mixture."""
    model: Model = ModelSpec()
    """Preset name, or a preset and what differs; with `start_from` it may be left out."""
    start_from: Annotated[Start | None, OnlyIfSet] = None
    """Weights to begin with; OLMo's random initialisation unless given."""
    loss: Loss = LossSpec()
    """Loss policy by the risk of the predicted token."""
    seed: Annotated[int, Field(ge=0, lt=2**32 - 1000)] = 0
    """Seed of initial weights and data order."""
    epochs: Positive = 1
    """Passes over the mixture; each presents every token as a target exactly once, in a new order."""
    micro_batch_size: Annotated[Positive, NotIdentity] = 16
    """Sequences per forward pass and data-parallel rank; limited by memory."""
    global_batch_size: Positive = 32
    """Sequences per optimizer step over all ranks."""
    optimizer: OptimizerSpec = OptimizerSpec()
    """AdamW and its schedule."""
    precision: Literal["fp32", "bf16", "fp8"] = "fp32"
    """bf16 keeps fp32 master weights and gradient sums; fp8 is bf16 with the products of the layers, not of the head,
    in fp8 (torchao's tensorwise scaling; needs a GPU that has it, and `hormesis[fp8]`).
    """
    recompute: Annotated[bool, NotIdentity] = False
    """Keep only each layer's input for the backward pass and compute the layer again: a third more work, and a
    fraction of the activations' memory.
    """
    implementation: Annotated[Implementation, NotIdentity] = "auto"
    """Layers on PyTorch's kernels (local) or Transformer Engine's; auto: the latter where a GPU has it."""
    logits: Annotated[LogitsMemory, NotIdentity] = "auto"
    """hold: logits are kept for the backward pass; recompute: they never exist whole and are computed again, one
    product with the embedding more (3 % of an OLMo-1B step); auto: recompute where they would take more than 2 GiB.
    """
    compile: Annotated[bool | Literal["auto"], NotIdentity] = "auto"
    """Let torch.compile fuse what lies between the matrix products; some seconds at the start. auto: on a GPU, unless
    `deterministic`.
    """
    deterministic: Annotated[bool, NotIdentity] = False
    """On a GPU, only algorithms that give the same bits each time, so that a resumed run ends with the same bytes there
    too; slower. On a CPU it is always so.
    """
    checkpoint_every: Annotated[Positive, NotIdentity] = 500
    """Steps between checkpoints; a killed run repeats at most this many."""
    keep_every: Annotated[Positive | None, OnlyIfSet] = None
    """Steps between checkpoints that stay in the artifact, the last step's among them, for `start_from` and for
    `export --step`; a multiple of `checkpoint_every`. Unless given, none stays.
    """
    max_skipped: Annotated[int, Field(ge=0), NotIdentity] = 3
    """Steps that may be skipped because their gradient is not finite; one more stops the run."""
    log_every: Annotated[Positive, NotIdentity] = 20
    """Steps between lines of log.jsonl."""
    evaluate_every: Annotated[Positive | None, NotIdentity] = None
    """Steps between evaluations on the held-out documents, risky tokens apart; only at the end unless given."""
    logs: Annotated[tuple[Literal["tensorboard", "wandb"], ...], NotIdentity] = ()
    """Where the log goes besides log.jsonl; wandb runs offline."""
    profile: Annotated[ProfileSpec | None, NotIdentity] = None
    """Trace some steps with torch.profiler."""
    parallel: Annotated[ParallelSpec, NotIdentity] = ParallelSpec()
    """Tensor, sequence, pipeline and context parallelism."""
    collective_timeout: Annotated[float, Field(gt=0.0), NotIdentity] = COLLECTIVE_TIMEOUT
    """Minutes that a rank waits for the others in a collective before the run fails; what rank 0 does alone (the
    export's writing) must fit into it.
    """
    launcher: Annotated[AnyLauncher, NotIdentity] = LocalSpec()
    """What starts the processes: local, torchrun, slurm or ray, as a name or with options."""

    @property
    def half(self) -> bool:
        """Whether weights and activations are bf16."""
        return self.precision != "fp32"

    def compiles(self, *, on_gpu: bool) -> bool:
        """Whether kernels are compiled; by itself only on a GPU, and not where a resumed run must end with equal bits:
        the compiler chooses the order of sums by timing.
        """
        return on_gpu and not self.deterministic if self.compile == "auto" else self.compile

    @model_validator(mode="after")
    def _keeps_what_it_writes(self) -> PretrainSpec:
        if self.keep_every is not None and self.keep_every % self.checkpoint_every:
            raise ValueError(
                f"keep_every ({self.keep_every}) must be a multiple of checkpoint_every ({self.checkpoint_every})"
            )
        return self

    @model_validator(mode="after")
    def _one_schedule(self) -> PretrainSpec:
        continues = self.start_from is not None and self.start_from.learning_rate == "continue"
        if continues and self.optimizer.schedule is not None:
            raise ValueError("`start_from.learning_rate: continue` and `optimizer.schedule` both say where to go on")
        return self

    @model_validator(mode="after")
    def _batch_divides(self) -> PretrainSpec:
        if self.global_batch_size % self.micro_batch_size:
            raise ValueError(
                f"global_batch_size ({self.global_batch_size}) must be a multiple of micro_batch_size "
                f"({self.micro_batch_size})"
            )
        return self

    @model_validator(mode="after")
    def _ranks_have_work(self) -> PretrainSpec:
        ranks = self.launcher.ranks
        if ranks is None or ranks == 1:
            return self
        copies, left = divmod(ranks, self.parallel.copy_size)
        if left:
            raise ValueError(
                f"launcher: its {ranks} processes do not divide into copies of the model on {self.parallel.copy_size} "
                "ranks each (parallel)"
            )
        if self.global_batch_size % (self.micro_batch_size * copies):
            raise ValueError(
                f"global_batch_size ({self.global_batch_size}) must be a multiple of micro_batch_size × data-parallel "
                f"ranks ({self.micro_batch_size} × {copies}), or ranks would compute on padding"
            )
        return self
