"""DiT and SiT in PyTorch, eager, float32: the plain transformer that U-DiT is compared with.

Written from the papers (arXiv 2212.09748, adaLN-Zero; 2401.08740) and from the published
checkpoints' keys and shapes; module names are those keys, so an official state_dict loads strictly.
SiT is the same network: it predicts a velocity, and nobody reads its channels for a variance.

Axes: B batch, C channels, H W latent, T tokens, D width.
"""

import math
from dataclasses import dataclass
from typing import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from network import LATENT_CHANNELS, LabelEmbedder, TimestepEmbedder


@dataclass(frozen=True)
class DiTConfig:
    side: int = 32  # of the latent
    patch: int = 2
    width: int = 384
    depth: int = 12
    heads: int = 6
    classes: int = 1000
    label_dropout: float = 0.1
    variance: str = "learned"  # or "discarded" (SiT): computed, but not returned; or "none"


def sine_cosine_positions(width: int, side: int) -> Tensor:
    """(1,T,D): the first half of D tells the column, the second the row; each is sines, then cosines."""
    frequencies = 10000.0 ** (-torch.arange(width // 4, dtype=torch.float64) / (width // 4))
    position = torch.arange(side * side, dtype=torch.float64)
    row = torch.div(position, side, rounding_mode="floor")
    parts = []
    for coordinate in (position - row * side, row):
        angles = torch.outer(coordinate, frequencies)
        parts += [angles.sin(), angles.cos()]
    return torch.cat(parts, dim=1).float()[None]


def modulate(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """x (B,T,D), shift and scale (B,D)."""
    return x * (1 + scale[:, None]) + shift[:, None]


def norm(x: Tensor) -> Tensor:
    return F.layer_norm(x, x.shape[-1:], eps=1e-6)


class PatchEmbedder(nn.Module):
    def __init__(self, width: int, patch: int):
        super().__init__()
        self.proj = nn.Conv2d(LATENT_CHANNELS, width, patch, stride=patch)

    def forward(self, x: Tensor) -> Tensor:
        return self.proj(x).flatten(2).transpose(1, 2)


class SelfAttention(nn.Module):
    """Softmax attention among all tokens."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.fused = False  # with PyTorch's own attention function?
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        b, t, d = x.shape
        q, k, v = self.placed(self.qkv(x).reshape(b, t, 3, self.heads, -1))
        if self.fused:
            out = F.scaled_dot_product_attention(q, k, v)
        else:
            out = ((q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)).softmax(dim=-1) @ v
        return self.proj(out.transpose(1, 2).reshape(b, t, d))

    def placed(self, qkv: Tensor) -> Sequence[Tensor]:
        """(B,T,3,heads,D/heads) -> (3,B,heads,T,D/heads); a subclass tells them their positions."""
        return qkv.permute(2, 0, 3, 1, 4)


class FeedForward(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.fc1 = nn.Linear(width, 4 * width)
        self.fc2 = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x), approximate="tanh"))


class Block(nn.Module):
    def __init__(self, config: DiTConfig):
        super().__init__()
        width = config.width
        self.attn = SelfAttention(width, config.heads)
        self.mlp = FeedForward(width)
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 6 * width))

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        modulation = self.adaLN_modulation(c).chunk(6, dim=1)
        shift_a, scale_a, gate_a, shift_m, scale_m, gate_m = modulation
        x = x + gate_a[:, None] * self.attn(modulate(norm(x), shift_a, scale_a))
        return x + gate_m[:, None] * self.mlp(modulate(norm(x), shift_m, scale_m))


class FinalLayer(nn.Module):
    def __init__(self, width: int, values: int):
        super().__init__()
        self.linear = nn.Linear(width, values)
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 2 * width))

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        shift, scale = self.adaLN_modulation(c).chunk(2, dim=1)
        return self.linear(modulate(norm(x), shift, scale))


class DiT(nn.Module):
    """Noise and variance, or velocity, of a noisy latent (B,4,H,W) at times t (B), labels y (B)."""

    def __init__(self, config: DiTConfig, block: Callable[[DiTConfig], nn.Module] = Block):
        super().__init__()
        width, patch = config.width, config.patch
        self.patch = patch
        self.discards_variance = config.variance == "discarded"
        self.pos_embed = nn.Parameter(
            sine_cosine_positions(width, config.side // patch), requires_grad=False
        )
        self.x_embedder = PatchEmbedder(width, patch)
        self.t_embedder = TimestepEmbedder(width)
        self.y_embedder = LabelEmbedder(config.classes, width, config.label_dropout)
        self.blocks = nn.ModuleList(block(config) for _ in range(config.depth))
        channels = LATENT_CHANNELS * (1 if config.variance == "none" else 2)
        self.final_layer = FinalLayer(width, patch * patch * channels)

    def forward(self, x: Tensor, t: Tensor, y: Tensor) -> Tensor:
        tokens = self.to_tokens(x)
        c = self.t_embedder(t) + self.y_embedder(y)
        for block in self.blocks:
            tokens = block(tokens, c)
        image = self.to_image(self.final_layer(tokens, c))
        return image[:, :LATENT_CHANNELS] if self.discards_variance else image

    def to_tokens(self, x: Tensor) -> Tensor:
        return self.x_embedder(x) + self.pos_embed

    def to_image(self, tokens: Tensor) -> Tensor:
        """(B,T,p*p*C), channels innermost, -> (B,C,H,W)."""
        b, t, values = tokens.shape
        side, p = math.isqrt(t), self.patch
        grid = tokens.reshape(b, side, side, p, p, values // (p * p))
        return grid.permute(0, 5, 1, 3, 2, 4).reshape(b, -1, side * p, side * p)
