import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from sldd.ops import conv as convolution
from sldd.ops.conv import Scope, convolve

pairs = st.tuples(st.integers(1, 3), st.integers(1, 3))


def random(*shape: int) -> torch.Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(sum(shape)))


def derivatives(out: torch.Tensor, leaves: list[torch.Tensor]) -> list[torch.Tensor]:
    """Values, first derivatives, and the second derivatives that a nonlinear loss makes of them."""
    first = torch.autograd.grad(out.sin().sum(), leaves, create_graph=True)
    second = torch.autograd.grad(sum(f.cos().sum() for f in first), leaves)
    return [out, *first, *second]


@pytest.mark.parametrize("product", [True, False], ids=["product", "library"])
@settings(max_examples=25, deadline=None)
@given(batch=st.integers(1, 3), channels=pairs, kernel=pairs, stride=pairs, padding=pairs, biased=st.booleans())
def test_equals_conv2d_to_the_second_derivative(product, batch, channels, kernel, stride, padding, biased):
    leaves = [
        random(batch, channels[0], 7, 6).requires_grad_(),
        random(channels[1], channels[0], *kernel).requires_grad_(),
    ]
    if biased:
        leaves.append(random(channels[1]).requires_grad_())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(convolution, "_product_is_faster", lambda *_: product)
        ours = derivatives(convolve(*leaves, stride=stride, padding=padding, scope=Scope()), leaves)
    theirs = derivatives(F.conv2d(*leaves, stride=stride, padding=padding), leaves)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


def test_third_derivatives_are_there():
    x, w = random(2, 2, 4, 4).requires_grad_(), random(2, 2, 3, 3).requires_grad_()
    out = convolve(x, w, stride=(1, 1), padding=(1, 1), scope=Scope())
    (first,) = torch.autograd.grad(out.pow(4).sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(first.pow(2).sum(), w, create_graph=True)
    assert torch.autograd.grad(second.sum(), x)[0].abs().sum() > 0


@pytest.mark.parametrize(
    ("scope", "worked_out"), [(Scope(images=False), [False, True]), (Scope(parameters=False), [True, False])]
)
def test_only_the_leaves_in_scope_are_worked_out(scope, worked_out):
    x, w = random(1, 2, 4, 4).requires_grad_(), random(3, 2, 3, 3).requires_grad_()
    scope.leaf = x
    out = convolve(x, w, stride=(1, 1), padding=(0, 0), scope=scope)
    found = torch.autograd.grad(out.sum(), [x, w], allow_unused=True)
    assert [gradient is not None for gradient in found] == worked_out


def test_scope_is_for_leaves():
    x, w = random(1, 2, 4, 4).requires_grad_(), random(3, 2, 3, 3).requires_grad_()
    out = convolve(x * 2, w * 2, stride=(1, 1), padding=(0, 0), scope=Scope(images=False, parameters=False))
    assert all(gradient is not None for gradient in torch.autograd.grad(out.sum(), [x, w]))


@pytest.mark.parametrize(("again", "asked"), [(False, [(True, True)]), (True, [(True, False), (False, True)])])
def test_the_library_is_asked_once_for_both_gradients(monkeypatch, again, asked):
    """Unless they are to be differentiated."""
    masks, library = [], convolution._library

    def watched(g, x, w, geometry, wanted):
        masks.append(wanted[:2])
        return library(g, x, w, geometry, wanted)

    monkeypatch.setattr(convolution, "_library", watched)
    x, w = torch.randn(4, 3, 9, 9, requires_grad=True), torch.randn(5, 3, 3, 3, requires_grad=True)
    out = convolve(x, w, stride=(1, 1), padding=(1, 1), scope=Scope())
    found = torch.autograd.grad(out.sin().sum(), [x, w], create_graph=again)
    assert masks == asked
    theirs = torch.autograd.grad(F.conv2d(x, w, padding=1).sin().sum(), [x, w])
    torch.testing.assert_close(found, theirs)


def test_the_last_layers_weights_go_through_a_product(monkeypatch):
    calls = []
    monkeypatch.setattr(convolution, "_library", lambda *_: calls.append(1))
    x, w = torch.randn(3, 8, 2, 2), torch.randn(16, 8, 3, 3, requires_grad=True)
    out = convolve(x, w, stride=(1, 1), padding=(1, 1), scope=Scope())
    torch.autograd.grad(out.sum(), w)
    assert not calls
