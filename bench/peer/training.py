"""One training step: mse + vb loss of Gaussian diffusion, AdamW, EMA."""

import contextlib
import copy
from typing import Callable, ContextManager

import torch
from torch import Tensor, nn

from diffusion import STEPS, GaussianDiffusion


class Trainer:
    """A model with AdamW (lr 1e-4, no decay) and the moving average of its parameters."""

    def __init__(
        self,
        model: nn.Module,
        ema_decay: float = 0.9999,
        compiled: Callable[[nn.Module], nn.Module] = lambda model: model,
        precision: Callable[[], ContextManager] = contextlib.nullcontext,
    ) -> None:
        self.model = model.train()
        self.network = compiled(self.model)
        self.precision = precision
        self.ema = copy.deepcopy(model).requires_grad_(False)
        self.ema_decay = ema_decay
        self.diffusion = GaussianDiffusion(device=str(next(model.parameters()).device))
        self.optimiser = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=0)

    def step(self, x: Tensor, y: Tensor) -> float:
        """One update on clean latents x (B,4,H,W) and labels y (B) at random timesteps."""
        t = torch.randint(0, STEPS, (x.shape[0],), device=x.device)
        return self.step_at(x, t, y, torch.randn_like(x))

    def step_at(self, x: Tensor, t: Tensor, y: Tensor, noise: Tensor) -> float:
        with self.precision():
            loss = self.diffusion.loss(self.network, x, t, y, noise).mean()
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.optimiser.step()
        self._update_ema()
        return loss.item()

    @torch.no_grad()
    def _update_ema(self) -> None:
        for average, value in zip(self.ema.parameters(), self.model.parameters()):
            average.mul_(self.ema_decay).add_(value, alpha=1 - self.ema_decay)
