"""The head with its cross-entropy in chunks: the same numbers as from whole logits, and never whole logits.

Covers pretrain.model.chunked_head, pretrain.model.layers.
"""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as functional
from torch.utils._python_dispatch import TorchDispatchMode

from infra.errors import ConfigError
from pretrain.model.chunked_head import HeadCrossEntropy
from pretrain.model.layers import uses_transformer_engine
from pretrain.runtime.distributed import process_groups
from pretrain.spec import ParallelSpec, recomputes_logits

TOKENS, HIDDEN, VOCABULARY = 50, 8, 37


class Largest(TorchDispatchMode):
    """Remembers the largest number of elements that an operation gave."""

    elements = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        for value in result if isinstance(result, (tuple, list)) else [result]:
            if isinstance(value, torch.Tensor):
                self.elements = max(self.elements, value.numel())
        return result


@pytest.fixture(autouse=True)
def groups():
    with process_groups(ParallelSpec(), 0):
        yield


@pytest.fixture
def inputs() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Hidden states, head, targets, and a loss weight per target, of which some are 0 and some negative."""
    draw = torch.Generator().manual_seed(0)
    hidden = torch.randn(TOKENS, HIDDEN, generator=draw, requires_grad=True)
    weight = torch.randn(VOCABULARY, HIDDEN, generator=draw, requires_grad=True)
    targets = torch.randint(VOCABULARY - 4, (TOKENS,), generator=draw)
    return hidden, weight, targets, torch.randn(TOKENS, generator=draw).clamp(min=-0.3)


@pytest.mark.parametrize("recompute", [False, True], ids=["held", "computed again"])
@pytest.mark.parametrize("rows", [1, 7, 50, 64])
@pytest.mark.parametrize("vocab_size", [VOCABULARY, VOCABULARY - 4], ids=["whole vocabulary", "padded"])
def test_values_and_gradients_are_those_of_whole_logits(inputs, rows, vocab_size, recompute):
    hidden, weight, targets, scale = inputs
    expected = functional.cross_entropy(functional.linear(hidden, weight[:vocab_size]), targets, reduction="none")
    gradients = torch.autograd.grad((expected * scale).sum(), (hidden, weight))
    nats = HeadCrossEntropy.apply(hidden, weight, targets, vocab_size, rows, recompute)
    torch.testing.assert_close(nats, expected)
    for gradient, exact in zip(torch.autograd.grad((nats * scale).sum(), (hidden, weight)), gradients, strict=True):
        torch.testing.assert_close(gradient, exact, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("recompute", [False, True], ids=["held", "computed again"])
def test_in_half_precision_gradients_are_as_good_as_its_rounding(inputs, recompute):
    hidden, weight, targets, scale = (tensor.detach() for tensor in inputs)
    half = [tensor.bfloat16().requires_grad_() for tensor in (hidden, weight)]
    exact = [tensor.detach().double().requires_grad_() for tensor in half]
    logits = functional.linear(*exact)
    expected = torch.autograd.grad((functional.cross_entropy(logits, targets, reduction="none") * scale).sum(), exact)
    gradients = torch.autograd.grad(
        (HeadCrossEntropy.apply(*half, targets, VOCABULARY, 1, recompute) * scale).sum(), half
    )
    for gradient, exact_gradient in zip(gradients, expected, strict=True):
        assert gradient.dtype == torch.bfloat16
        torch.testing.assert_close(gradient.double(), exact_gradient, atol=0.02, rtol=0.02)


def test_logits_that_are_computed_again_never_exist_whole(inputs):
    hidden, weight, targets, scale = inputs
    with Largest() as seen:
        (HeadCrossEntropy.apply(hidden, weight, targets, VOCABULARY, 5, True) * scale).sum().backward()
    assert seen.elements == max(weight.numel(), hidden.numel())
    assert weight.numel() < TOKENS * VOCABULARY


def test_large_logits_are_computed_again_unless_the_file_says_otherwise():
    assert recomputes_logits("auto", 16 * 2048 * 50304 * 2)
    assert not recomputes_logits("auto", 8 * 2048 * 50304 * 2)
    assert recomputes_logits("recompute", 1)
    assert not recomputes_logits("hold", 16 * 2048 * 50304 * 2)


def test_transformer_engine_is_refused_where_it_cannot_be_had():
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    assert not uses_transformer_engine("auto")
    with pytest.raises(ConfigError, match="there is no GPU"):
        uses_transformer_engine("transformer_engine")
