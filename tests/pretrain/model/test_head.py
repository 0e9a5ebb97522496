"""The head with its cross-entropy in chunks: the same numbers as from whole logits, and never whole logits."""

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
        found = function(*args, **(kwargs or {}))
        for each in found if isinstance(found, (tuple, list)) else [found]:
            if isinstance(each, torch.Tensor):
                self.elements = max(self.elements, each.numel())
        return found


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


@pytest.mark.parametrize("again", [False, True], ids=["held", "computed again"])
@pytest.mark.parametrize("rows", [1, 7, 50, 64])
@pytest.mark.parametrize("real", [VOCABULARY, VOCABULARY - 4], ids=["whole vocabulary", "padded"])
def test_values_and_gradients_are_those_of_whole_logits(inputs, rows, real, again):
    hidden, weight, targets, scale = inputs
    expected = functional.cross_entropy(functional.linear(hidden, weight[:real]), targets, reduction="none")
    gradients = torch.autograd.grad((expected * scale).sum(), (hidden, weight))
    found = HeadCrossEntropy.apply(hidden, weight, targets, real, rows, again)
    torch.testing.assert_close(found, expected)
    for each, wanted in zip(torch.autograd.grad((found * scale).sum(), (hidden, weight)), gradients, strict=True):
        torch.testing.assert_close(each, wanted, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("again", [False, True], ids=["held", "computed again"])
def test_in_half_precision_gradients_are_as_good_as_its_rounding(inputs, again):
    hidden, weight, targets, scale = (each.detach() for each in inputs)
    half = [each.bfloat16().requires_grad_() for each in (hidden, weight)]
    exact = [each.detach().double().requires_grad_() for each in half]
    logits = functional.linear(*exact)
    wanted = torch.autograd.grad((functional.cross_entropy(logits, targets, reduction="none") * scale).sum(), exact)
    found = torch.autograd.grad((HeadCrossEntropy.apply(*half, targets, VOCABULARY, 1, again) * scale).sum(), half)
    for each, expected in zip(found, wanted, strict=True):
        assert each.dtype == torch.bfloat16
        torch.testing.assert_close(each.double(), expected, atol=0.02, rtol=0.02)


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
