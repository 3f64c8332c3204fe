"""Average pooling by sums: values and derivatives of the library's, to the bit."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from sldd.ops.avg_pool import avg_pool
from sldd.ops.dispatch import Kernels


@pytest.mark.parametrize("kernel", [(2, 2), (1, 2), (3, 2), (1, 1)])
@pytest.mark.parametrize("shape", [(5, 3, 8, 12), (2, 4, 7, 9)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_equals_the_library_to_the_second_derivative(kernel, shape, dtype):
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=dtype).requires_grad_()
    results = []
    for pool in (avg_pool, F.avg_pool2d):
        out = pool(x, kernel)
        (first,) = torch.autograd.grad(out.pow(3).sum(), x, create_graph=True)
        results.append([out, first, *torch.autograd.grad(first.pow(3).sum(), x)])
    for one, other in zip(*results, strict=True):
        assert torch.equal(one, other)
        assert one.is_contiguous()


@pytest.mark.parametrize(
    ("arguments", "ours"), [((2,), True), ((2, 2), True), ((3, 2), False), ((2, 2, 1), False), ((4,), False)]
)
def test_pools_take_windows_that_lie_side_by_side(arguments, ours):
    x = torch.randn(4, 8, 32, 32).requires_grad_()
    with Kernels(twice=False):
        out = F.avg_pool2d(x, *arguments)
    assert ("_AvgPool" in repr(out.grad_fn)) is ours
    assert torch.equal(out, F.avg_pool2d(x, *arguments))
