"""Gaussian diffusion: linear schedule of 1000 steps, training loss, ancestral sampling, guidance.

The network predicts epsilon and an interpolation between the two bounds of the reverse variance
(Nichol & Dhariwal 2021). The vb term of the loss trains only the variance.
"""

import math
from typing import Callable, Sequence

import torch
from torch import Tensor, nn

STEPS = 1000
HALF_BIN = 1.0 / 255  # half the distance of two 8-bit levels on [-1, 1]
GUIDED_CHANNELS = 3  # of a latent's 4, as published

Network = Callable[[Tensor, Tensor], Tensor]  # x_t and timesteps -> epsilon and variance


def guided(network: Callable[..., Tensor], y: Tensor, scale: float, null_label: int) -> Network:
    """Classifier-free guidance: the network sees every image with and without its class."""
    labels = torch.cat([y, torch.full_like(y, null_label)])

    def predict(x: Tensor, t: Tensor) -> Tensor:
        with_class, without = network(torch.cat([x, x]), torch.cat([t, t]), labels).chunk(2)
        base, rest = without[:, :GUIDED_CHANNELS], with_class[:, GUIDED_CHANNELS:]
        steered = base + scale * (with_class[:, :GUIDED_CHANNELS] - base)
        return torch.cat([steered, rest], dim=1)

    return predict


class GaussianDiffusion:
    def __init__(self, steps: int = STEPS, device: str = "cpu") -> None:
        """With fewer steps than trained: evenly spread ones, first and last among them."""
        stride = (STEPS - 1) / max(1, steps - 1)
        self.timesteps = [round(stride * i) for i in range(steps)]  # what the network is told
        every_beta = torch.linspace(1e-4, 0.02, STEPS, dtype=torch.float64, device=device)
        kept = torch.cumprod(1 - every_beta, dim=0)[self.timesteps]
        kept_before = torch.cat([torch.ones_like(kept[:1]), kept[:-1]])
        beta = 1 - kept / kept_before
        posterior_variance = beta * (1 - kept_before) / (1 - kept)
        # The true first value is 0, and its log not finite; with a single step no other is there.
        posterior_variance[0] = posterior_variance[1] if steps > 1 else beta[0]
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
        log_variance = self._log_variance(variance, t)
        mean = self._posterior_mean(self._predicted_x0(eps, x_t, t), x_t, t)
        true_mean = self._posterior_mean(x, x_t, t)
        low = at(self.log_posterior_variance, t)
        kl = per_sample_mean(gaussian_kl(true_mean, low, mean, log_variance))
        nll = -per_sample_mean(discretised_log_likelihood(x, mean, 0.5 * log_variance))
        return torch.where(t == 0, nll, kl) / math.log(2)

    def sample_step(
        self, network: Network, x_t: Tensor, step: int, noise: Tensor, clip: bool = False
    ) -> Tensor:
        """One ancestral step (DDPM), of the number `step` counted from the data."""
        t = torch.full((x_t.shape[0],), step, device=x_t.device)
        eps, variance = network(x_t, torch.full_like(t, self.timesteps[step])).chunk(2, dim=1)
        x0 = self._predicted_x0(eps, x_t, t)
        mean = self._posterior_mean(x0.clamp(-1, 1) if clip else x0, x_t, t)
        if step == 0:
            return mean
        return mean + (0.5 * self._log_variance(variance, t)).exp() * noise

    def sample(self, network: Network, shape: Sequence[int]) -> Tensor:
        """From noise to data."""
        x = torch.randn(*shape, device=self.signal.device)
        for step in reversed(range(len(self.timesteps))):
            x = self.sample_step(network, x, step, torch.randn_like(x))
        return x

    def _log_variance(self, variance: Tensor, t: Tensor) -> Tensor:
        fraction = (variance + 1) / 2
        low, high = at(self.log_posterior_variance, t), at(self.log_beta, t)
        return fraction * high + (1 - fraction) * low

    def _predicted_x0(self, eps: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
        return at(self.x0_from_xt, t) * x_t - at(self.x0_from_eps, t) * eps

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
