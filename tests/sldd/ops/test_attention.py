from __future__ import annotations

from contextlib import ExitStack

import pytest
import torch

from sldd.ops.attention import math_attention


def _fused() -> bool:
    return torch.backends.cuda.flash_sdp_enabled()


def test_fused_attention_is_off_until_the_last_has_left() -> None:
    """As two threads do that come and go by turns."""
    one, other = ExitStack(), ExitStack()
    assert _fused()
    one.enter_context(math_attention())
    other.enter_context(math_attention())
    one.close()
    assert not _fused(), "the other is still inside"
    other.close()
    assert _fused()


def test_an_error_inside_switches_back() -> None:
    with pytest.raises(ZeroDivisionError), math_attention():
        raise ZeroDivisionError
    assert _fused()


def test_what_was_off_before_stays_off() -> None:
    torch.backends.cuda.enable_flash_sdp(False)
    try:
        with math_attention():
            pass
        assert not _fused()
    finally:
        torch.backends.cuda.enable_flash_sdp(True)


def test_attention_is_differentiable_twice() -> None:
    value = torch.randn(1, 2, 3, 4, generator=torch.Generator().manual_seed(0)).requires_grad_()
    with math_attention():
        out = torch.nn.functional.scaled_dot_product_attention(value, value, value)
    (first,) = torch.autograd.grad(out.square().sum(), value, create_graph=True)
    (second,) = torch.autograd.grad(first.square().sum(), value)
    assert second.abs().sum() > 0
