import pytest
import torch
import torch.nn.functional as F

from sldd.ops.batch_norm import batch_norm


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("shape", [(3, 4, 3, 2), (6, 4), (2, 4, 5)])
def test_equals_the_library_to_the_second_derivative(shape, affine):
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(shape, dtype=torch.float64, generator=draw).requires_grad_()
    leaves = [x]
    if affine:
        leaves += [torch.randn(4, dtype=torch.float64, generator=draw).requires_grad_() for _ in range(2)]
    weight, bias = leaves[1:] or (None, None)
    results = []
    for out in (batch_norm(x, weight, bias, 1e-5), F.batch_norm(x, None, None, weight, bias, training=True)):
        first = torch.autograd.grad(out.sin().sum(), leaves, create_graph=True)
        second = torch.autograd.grad(sum(f.cos().sum() for f in first), leaves)
        results.append([out, *first, *second])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


def test_a_third_derivative_is_refused():
    x = torch.randn(3, 2, 2, 2, requires_grad=True)
    (first,) = torch.autograd.grad(batch_norm(x, None, None, 1e-5).pow(3).sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(first.pow(2).sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        second.sum().backward()
