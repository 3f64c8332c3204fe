"""Max pooling by other kernels: values, winners and derivatives of the library's, to the bit."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from sldd.ops import max_pool as module
from sldd.ops.max_pool import max_pool

PAIRS = st.tuples(st.integers(1, 3), st.integers(1, 3))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@settings(max_examples=60, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 30), st.integers(1, 5), st.integers(3, 9), st.integers(3, 9)),
    kernel=PAIRS,
    stride=PAIRS,
    padding=st.tuples(st.integers(0, 1), st.integers(0, 1)),
    ceil_mode=st.booleans(),
    seed=st.integers(0, 99),
)
def test_values_winners_and_derivatives_are_the_librarys(shape, kernel, stride, padding, ceil_mode, seed, dtype):
    assume(all(2 * p <= k for p, k in zip(padding, kernel, strict=True)))
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(shape, generator=draw).mul(2).round().to(dtype).requires_grad_()  # with ties
    results = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_AT_A_TIME", 1)  # so that some batches come in parts
        for pool in (max_pool, F.max_pool2d):
            out = pool(x, kernel, stride, padding, ceil_mode=ceil_mode)
            (first,) = torch.autograd.grad(out.pow(3).sum(), x, create_graph=True)
            with torch.no_grad():
                values = pool(x, kernel, stride, padding, ceil_mode=ceil_mode)
            results.append([out, first, torch.autograd.grad(first.pow(2).sum(), x)[0], values])
    for one, other in zip(*results, strict=True):
        assert torch.equal(one, other)
        assert one.is_contiguous()


@pytest.mark.parametrize("value", [torch.inf, -torch.inf, torch.nan])
def test_values_without_end_stay_what_they_are(value):
    x = torch.full((1, 2, 5, 5), value)
    for asked in (False, True):
        out = max_pool(x.requires_grad_(asked), (3, 3), (2, 2), (1, 1))
        assert torch.equal(out.isnan(), torch.full_like(out, value).isnan())
        assert value != value or (out == value).all()
