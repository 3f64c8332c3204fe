"""Gaussian process of scores over settings and contexts, by BoTorch (``study.search.shared_model`` says of what)."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence

import torch
from botorch.acquisition import LogExpectedImprovement
from botorch.exceptions.warnings import OptimizationWarning
from botorch.models import SingleTaskGP
from botorch.models.kernels import CategoricalKernel
from botorch.models.utils.gpytorch_modules import get_covar_module_with_dim_scaled_prior as rbf
from botorch.optim.fit import fit_gpytorch_mll_scipy
from gpytorch.constraints import GreaterThan
from gpytorch.kernels import Kernel, ScaleKernel
from gpytorch.likelihoods import GaussianLikelihood
from gpytorch.mlls import ExactMarginalLogLikelihood
from gpytorch.priors import GammaPrior, LogNormalPrior

_STEPS = 30
"""Iterations of L-BFGS in a fit."""
_LUCK = 1.0
"""Median of the prior of the noise's variance, in units of the variance of all scores: with few validation patients and
chaotic runs, scores are mostly luck until trials show less. BoTorch's own, 0.02, is for scores that a second run gives
again."""


def _kernel(settings: int, context: int) -> Kernel:
    """Covariance of scores at settings x in a cell c, whose context is z:

        a1 k(x, x') k(z, z') + a2 k(z, z') + a3 k(c, c') + a4 k(x, x') k(c, c')

    The first two terms are the shape and the level that cells alike share, the last two a cell's own level and shape.
    Without a context, a1 k(x, x') stands for the first two. k(x, x') and k(z, z') are RBF kernels with a length a
    column, and k(c, c') is below 1 where the cells differ. The lengths, each term's own, and the scales a1 to a4 are
    fitted.

    Args:
        settings, context: numbers of columns; settings come first, then context, then the cell's number.
    """

    def scaled(kernel: Kernel) -> Kernel:
        return ScaleKernel(kernel, outputscale_prior=GammaPrior(2.0, 2.0))

    def over_settings() -> Kernel:
        return rbf(ard_num_dims=settings, active_dims=tuple(range(settings)))

    def over_context() -> Kernel:
        return rbf(ard_num_dims=context, active_dims=tuple(range(settings, settings + context)))

    def over_cells() -> Kernel:
        return CategoricalKernel(active_dims=(settings + context,))

    own = scaled(over_cells()) + scaled(over_settings() * over_cells())
    if not context:
        return scaled(over_settings()) + own
    return scaled(over_settings() * over_context()) + scaled(over_context()) + own


def _likelihood() -> GaussianLikelihood:
    prior = LogNormalPrior(loc=math.log(_LUCK), scale=1.0)
    return GaussianLikelihood(
        noise_prior=prior, noise_constraint=GreaterThan(1e-4, transform=None, initial_value=prior.mode)
    )


class ScoreModel:
    """The process, given scores at points.

    Args:
        points: (n, settings + context + 1) float64; the last column is a cell's number.
        scores: (n, 1) float64; standardised here.
        columns: how many of settings and of context.
    """

    def __init__(self, points: torch.Tensor, scores: torch.Tensor, columns: tuple[int, int]) -> None:
        self._points, self._scores, self._columns = points, scores, columns
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of inputs that are not in [0, 1]: a cell's number is not
            self._model = SingleTaskGP(points, scores, likelihood=_likelihood(), covar_module=_kernel(*columns))

    def set(self, lengths: dict[str, torch.Tensor]) -> None:
        """Take lengths, scales and noise of another model; means and spread of the scores stay one's own."""
        self._model.load_state_dict(lengths, strict=False)
        self._model.eval()

    @property
    def lengths(self) -> dict[str, torch.Tensor]:
        """Lengths, scales and noise."""
        state: dict[str, torch.Tensor] = self._model.state_dict()
        return {name: value for name, value in state.items() if not name.startswith("outcome_transform")}

    def means(self, points: torch.Tensor) -> torch.Tensor:
        """(n,) what is expected at points, without noise."""
        with torch.no_grad():
            mean: torch.Tensor = self._model.posterior(points).mean.squeeze(-1)
        return mean

    def sure_gains(self, points: torch.Tensor, usual: torch.Tensor) -> torch.Tensor:
        """(n,) what points promise more than the usual one, less a standard deviation of that difference.

        Where none is above zero, what is usual is taken, though others promise more: the rule of one standard error
        (Breiman et al. 1984).
        """
        with torch.no_grad():
            promised = self._model(torch.cat([points, usual.unsqueeze(0)]))
        mean, covariance = promised.mean, promised.covariance_matrix
        variance = covariance.diagonal()[:-1] + covariance[-1, -1] - 2 * covariance[-1, :-1]
        gains: torch.Tensor = mean[:-1] - mean[-1] - variance.clamp(min=0).sqrt()
        return gains

    def next(self, candidates: torch.Tensor, tried: Sequence[torch.Tensor], pending: Sequence[torch.Tensor]) -> int:
        """Row of the candidate to try next: the highest mean where none was tried, else expected improvement.

        What is best so far is the highest mean among those tried, and trials that run are taken to give theirs
        (the "kriging believer" of Ginsbourger et al. 2010).

        Args:
            candidates: (n, columns).
            tried, pending: points of the same cell.
        """
        if pending:
            points = torch.stack(list(pending))
            believed = torch.cat([self._scores, self.means(points).unsqueeze(-1)])
            model = ScoreModel(torch.cat([self._points, points]), believed, self._columns)
            model.set(self.lengths)
            return model.next(candidates, [*tried, *pending], [])
        if not tried:
            return int(self.means(candidates).argmax())
        with torch.no_grad():
            improvement = LogExpectedImprovement(self._model, best_f=self.means(torch.stack(list(tried))).max())
            return int(improvement(candidates.unsqueeze(1)).argmax())


def fitted(points: torch.Tensor, scores: torch.Tensor, columns: tuple[int, int]) -> dict[str, torch.Tensor]:
    """Lengths, scales and noise that fit: near the posterior mode, by ``_STEPS`` of L-BFGS from the priors'."""
    found = ScoreModel(points, scores, columns)
    likelihood = ExactMarginalLogLikelihood(found._model.likelihood, found._model)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OptimizationWarning)  # of steps that were not enough: they are what it may cost
        fit_gpytorch_mll_scipy(likelihood, options={"maxiter": _STEPS})
    return found.lengths
