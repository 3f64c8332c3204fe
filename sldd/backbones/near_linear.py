"""Near-linear starts: by how much norms are shifted so that gradients do not explode in a deep network.

Through a layer of batch norm and ReLU the squared gradient grows, from the output to the input, by

    chi(s) = E[f'(z + s)^2] / Var[f(z + s)],    z ~ N(0, 1),  f = ReLU,  s the norm's shift

(Yang et al. 2019, "A mean field theory of batch normalization"): by pi / (pi - 1) = 1.47 at s = 0, a thousandfold in
twenty layers, which makes one inner step chaotic and its derivative useless. With s > 0 most values pass the ReLU
as they are, and chi goes to 1 (Meterez et al. 2023 shape activations to that end). Too large a shift leaves a
network that is linear and learns late. So the shift is the one at which all layers together let the squared gradient
grow by ``GROWTH``.
"""

from __future__ import annotations

import math

from torch import nn

BEFORE_ACTIVATIONS = (nn.modules.batchnorm._NormBase, nn.GroupNorm)
"""Norms that stand before activations: batch, instance and group norm."""
GROWTH = 3.0
"""Of the squared gradient, over all layers."""
_STEPS = 16
"""Shifts are whole multiples of a sixteenth: exact in every precision, the same on every machine."""
_MOST = 3 * _STEPS


def growth(shift: float) -> float:
    """chi(s), of one layer of batch norm and ReLU."""
    passes = 0.5 * (1 + math.erf(shift / math.sqrt(2)))
    density = math.exp(-0.5 * shift**2) / math.sqrt(2 * math.pi)
    mean = density + shift * passes
    variance = (1 + shift**2) * passes + shift * density - mean**2
    return passes / variance


def norm_shift(network: nn.Module) -> float:
    """The smallest shift at which the network's squared gradient grows by at most ``GROWTH``; 0 without such norms."""
    layers = sum(isinstance(module, BEFORE_ACTIVATIONS) for module in network.modules())
    shifts = (step / _STEPS for step in range(_MOST))
    return next((s for s in shifts if layers * math.log(growth(s)) <= math.log(GROWTH)), _MOST / _STEPS)
