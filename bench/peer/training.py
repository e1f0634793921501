"""One U-DiT training step: mse + vb loss of Gaussian diffusion, AdamW, EMA.

Linear schedule of 1000 steps; the network predicts epsilon and an interpolation between the two
bounds of the reverse variance (Nichol & Dhariwal 2021). The vb term trains only the variance.
"""

import copy
import math

import torch
from torch import Tensor, nn

STEPS = 1000
HALF_BIN = 1.0 / 255  # half the distance of two 8-bit levels on [-1, 1]


class GaussianDiffusion:
    def __init__(self) -> None:
        beta = torch.linspace(1e-4, 0.02, STEPS, dtype=torch.float64)
        kept = torch.cumprod(1 - beta, dim=0)
        kept_before = torch.cat([torch.ones(1, dtype=torch.float64), kept[:-1]])
        posterior_variance = beta * (1 - kept_before) / (1 - kept)
        posterior_variance[0] = posterior_variance[1]  # the true value is 0, its log is not finite
        self.log_beta = beta.log()
        self.log_posterior_variance = posterior_variance.log()
        self.signal = kept.sqrt()
        self.noise = (1 - kept).sqrt()
        self.x0_from_xt = (1 / kept).sqrt()
        self.x0_from_eps = (1 / kept - 1).sqrt()
        self.mean_from_x0 = beta * kept_before.sqrt() / (1 - kept)
        self.mean_from_xt = (1 - kept_before) * (1 - beta).sqrt() / (1 - kept)

    def loss(self, model: nn.Module, x: Tensor, t: Tensor, y: Tensor, noise: Tensor) -> Tensor:
        """Loss of each sample (B): squared error of epsilon plus the variational bound in bits."""
        x_t = at(self.signal, t) * x + at(self.noise, t) * noise
        eps, variance = model(x_t, t, y).chunk(2, dim=1)
        mse = per_sample_mean((noise - eps) ** 2)
        return mse + self._variational_bound(x, x_t, t, eps.detach(), variance)

    def _variational_bound(
        self, x: Tensor, x_t: Tensor, t: Tensor, eps: Tensor, variance: Tensor
    ) -> Tensor:
        fraction = (variance + 1) / 2
        low, high = at(self.log_posterior_variance, t), at(self.log_beta, t)
        log_variance = fraction * high + (1 - fraction) * low
        x0 = at(self.x0_from_xt, t) * x_t - at(self.x0_from_eps, t) * eps
        mean = self._posterior_mean(x0, x_t, t)
        true_mean = self._posterior_mean(x, x_t, t)
        kl = per_sample_mean(gaussian_kl(true_mean, low, mean, log_variance))
        nll = -per_sample_mean(discretised_log_likelihood(x, mean, 0.5 * log_variance))
        return torch.where(t == 0, nll, kl) / math.log(2)

    def _posterior_mean(self, x0: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
        return at(self.mean_from_x0, t) * x0 + at(self.mean_from_xt, t) * x_t


def at(table: Tensor, t: Tensor) -> Tensor:
    """Entries t of a float64 table as float32 (B,1,1,1)."""
    return table[t].float()[:, None, None, None]


def per_sample_mean(x: Tensor) -> Tensor:
    return x.mean(dim=tuple(range(1, x.dim())))


def gaussian_kl(mean1: Tensor, log_var1: Tensor, mean2: Tensor, log_var2: Tensor) -> Tensor:
    """KL(N(mean1, var1) || N(mean2, var2)) in nats, elementwise."""
    spread = torch.exp(log_var1 - log_var2) + (mean1 - mean2) ** 2 * torch.exp(-log_var2)
    return 0.5 * (log_var2 - log_var1 + spread - 1)


def normal_cdf(x: Tensor) -> Tensor:
    """The tanh approximation, which is part of the reference loss."""
    return 0.5 * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def discretised_log_likelihood(x: Tensor, mean: Tensor, log_scale: Tensor) -> Tensor:
    """Log probability of the 8-bit bin of x under a Gaussian; the outermost bins are open."""
    inverse = torch.exp(-log_scale)
    above = normal_cdf((x - mean + HALF_BIN) * inverse)
    below = normal_cdf((x - mean - HALF_BIN) * inverse)
    bin_mass = torch.where(x > 0.999, 1 - below, above - below)
    return torch.where(x < -0.999, above, bin_mass).clamp(min=1e-12).log()


class Trainer:
    """A model with AdamW (lr 1e-4, no decay) and the moving average of its parameters."""

    def __init__(self, model: nn.Module, ema_decay: float = 0.9999) -> None:
        self.model = model.train()
        self.ema = copy.deepcopy(model).requires_grad_(False)
        self.ema_decay = ema_decay
        self.diffusion = GaussianDiffusion()
        self.optimiser = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=0)

    def step(self, x: Tensor, y: Tensor) -> float:
        """One update on clean latents x (B,4,H,W) and labels y (B) at random timesteps."""
        t = torch.randint(0, STEPS, (x.shape[0],))
        return self.step_at(x, t, y, torch.randn_like(x))

    def step_at(self, x: Tensor, t: Tensor, y: Tensor, noise: Tensor) -> float:
        loss = self.diffusion.loss(self.model, x, t, y, noise).mean()
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.optimiser.step()
        self._update_ema()
        return loss.item()

    @torch.no_grad()
    def _update_ema(self) -> None:
        for average, value in zip(self.ema.parameters(), self.model.parameters()):
            average.mul_(self.ema_decay).add_(value, alpha=1 - self.ema_decay)
