"""U-DiT in PyTorch, eager, NCHW, float32: the network that the benchmark compares with.

Written from the paper (arXiv 2405.02730) and from the published checkpoints' keys and shapes;
module names are those keys, so an official state_dict loads strictly. Besides the published presets
it does the paper's steps from DiT-UNet to U-DiT: full or dot-product attention, no positions, a
plain FFN. Downsamplers are depthwise with shortcut.

Axes: B batch, C channels, H W grid, S the sub-lattices of a grid, T tokens of one sub-lattice,
D channels of one head.
"""

import math
from dataclasses import dataclass
from typing import List, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LATENT_CHANNELS = 4
OUTPUT_CHANNELS = 2 * LATENT_CHANNELS  # epsilon, then the variance interpolation
FREQUENCY_CHANNELS = 256
LOGIT_SCALE_MAX = 4.6052  # ln 100, to the digits that the reference clamps at


@dataclass(frozen=True)
class UDiTConfig:
    hidden: int = 96  # channels of the first level
    heads: int = 4  # the same number at every level: the head width doubles instead
    depth: Tuple[int, ...] = (2, 5, 8, 5, 2)  # blocks per level, encoder to decoder
    classes: int = 1000  # the null class has the row after the last one
    label_dropout: float = 0.1
    down_factor: int = 2  # of each side: a grid is cut into its square of sub-lattices
    down_kernel: int = 5  # of the depthwise convolution before that
    downsamples: bool = True  # otherwise all tokens attend together, without that convolution
    cosine: bool = True  # unit-length queries and keys with a learned temperature; or dot products
    rotary: bool = True  # 2-D positions; or none
    rep_ffn: bool = True  # the paper's FFN; or a plain one
    mlp_ratio: int = 2  # hidden channels of the FFN by its width


def modulate(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """x (B,C,H,W), shift and scale (B,C)."""
    return x * (1 + scale[:, :, None, None]) + shift[:, :, None, None]


class ChannelNorm(nn.Module):
    """LayerNorm over the channels of each pixel, no affine, eps 1e-6."""

    def forward(self, x: Tensor) -> Tensor:
        pixels = x.permute(0, 2, 3, 1)
        return F.layer_norm(pixels, pixels.shape[-1:], eps=1e-6).permute(0, 3, 1, 2)


class PatchEmbedder(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.proj = nn.Conv2d(LATENT_CHANNELS, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.proj(x)


class TimestepEmbedder(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.mlp = nn.Sequential(
            nn.Linear(FREQUENCY_CHANNELS, width), nn.SiLU(), nn.Linear(width, width)
        )

    def forward(self, t: Tensor) -> Tensor:
        half = FREQUENCY_CHANNELS // 2
        exponent = torch.arange(half, dtype=torch.float32, device=t.device) / half
        angles = t[:, None].float() * torch.exp(-math.log(10000.0) * exponent)
        return self.mlp(torch.cat([angles.cos(), angles.sin()], dim=-1))


class LabelEmbedder(nn.Module):
    """Each level owns one, and draws its own label dropout in training."""

    def __init__(self, classes: int, width: int, dropout: float):
        super().__init__()
        self.embedding_table = nn.Embedding(classes + 1, width)
        self.classes = classes
        self.dropout = dropout

    def forward(self, y: Tensor) -> Tensor:
        if self.training and self.dropout > 0:
            dropped = torch.rand(y.shape[0], device=y.device) < self.dropout
            y = torch.where(dropped, torch.full_like(y, self.classes), y)
        return self.embedding_table(y)


def rotary_factors(side: int, head_width: int) -> Tensor:
    """Unit complex numbers (T,D/2) of a square grid, alternating column angle and row angle."""
    frequencies = 10000.0 ** (-torch.arange(0, head_width, 4).float() / head_width)
    position = torch.arange(side * side)
    column = torch.outer((position % side).float(), frequencies)
    row = torch.outer(torch.div(position, side, rounding_mode="floor").float(), frequencies)
    angles = torch.stack([column, row], dim=-1).flatten(1)
    return torch.polar(torch.ones_like(angles), angles)


def rotate(x: Tensor, factors: Tensor) -> Tensor:
    """x (...,T,heads,D): adjacent channels are the real and imaginary part of one number."""
    pairs = torch.view_as_complex(x.float().reshape(*x.shape[:-1], -1, 2))
    return torch.view_as_real(pairs * factors[:, None, :]).flatten(-2).type_as(x)


def rotate_by_parts(x: Tensor, factors: Tensor) -> Tensor:
    """The same without complex numbers, which compilers leave alone."""
    real, imaginary = x.reshape(*x.shape[:-1], -1, 2).unbind(-1)
    cos, sin = factors.real[:, None, :], factors.imag[:, None, :]
    parts = (real * cos - imaginary * sin, real * sin + imaginary * cos)
    return torch.stack(parts, dim=-1).flatten(-2)


class SublatticeDownsampler(nn.Module):
    """(B,C,H,W) -> (B,S=f*f,T=HW/S,C): depthwise with shortcut, then every f-th pixel."""

    def __init__(self, width: int, factor: int, kernel: int):
        super().__init__()
        self.factor = factor
        self.layer = nn.Conv2d(width, width, kernel, padding=kernel // 2, groups=width)

    def forward(self, x: Tensor) -> Tensor:
        x = self.layer(x) + x
        b, c, h, w = x.shape
        f = self.factor
        slices = x.reshape(b, c, h // f, f, w // f, f).permute(0, 3, 5, 2, 4, 1)
        return slices.reshape(b, f * f, h * w // (f * f), c)


def interleave_sublattices(tokens: Tensor, side: int, factor: int) -> Tensor:
    """(B,S,T,C) -> (B,C,f*side,f*side), the inverse of the downsampler's slicing."""
    b, _, _, c = tokens.shape
    grid = tokens.reshape(b, factor, factor, side, side, c).permute(0, 5, 3, 1, 4, 2)
    return grid.reshape(b, c, factor * side, factor * side)


class EveryToken(nn.Module):
    """(B,C,H,W) -> (B,1,HW,C): what there is instead of a downsampler in full attention."""

    factor = 1

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(2).transpose(1, 2)[:, None]


class Attention(nn.Module):
    """Attention within each sub-lattice of a square grid."""

    def __init__(self, width: int, config: UDiTConfig):
        super().__init__()
        self.heads = config.heads
        self.fused = False  # with PyTorch's own attention function?
        self.rotary = config.rotary
        self.logit_scale = None
        if config.cosine:
            self.logit_scale = nn.Parameter(torch.full((config.heads, 1, 1), math.log(10.0)))
        self.to_qkv = nn.Linear(width, 3 * width)
        self.to_out = nn.Conv2d(width, width, 1)
        self.downsampler: nn.Module = EveryToken()
        if config.downsamples:
            self.downsampler = SublatticeDownsampler(width, config.down_factor, config.down_kernel)
        self.factors = None  # rotary factors of the grid seen last

    def forward(self, x: Tensor) -> Tensor:
        factor = self.downsampler.factor
        side = x.shape[-1] // factor
        tokens = self.downsampler(x)
        b, s, t, c = tokens.shape
        q, k, v = (
            part.reshape(b, s, t, self.heads, -1) for part in self.to_qkv(tokens).chunk(3, dim=-1)
        )
        if self.rotary:
            if self.factors is None or self.factors.shape[0] != t:
                self.factors = rotary_factors(side, c // self.heads).to(x.device)
            turn = rotate_by_parts if self.fused else rotate
            q, k = turn(q, self.factors), turn(k, self.factors)
        q, k, v = (each.transpose(2, 3) for each in (q, k, v))  # (B,S,heads,T,D)
        if self.logit_scale is None:
            scale = q.shape[-1] ** -0.5
        else:
            q, k = F.normalize(q, dim=-1), F.normalize(k, dim=-1)
            scale = self.logit_scale.clamp(max=LOGIT_SCALE_MAX).exp()
        if self.fused:
            q, k, v = (each.flatten(0, 1) for each in (q * scale, k, v))
            out = F.scaled_dot_product_attention(q, k, v, scale=1.0).unflatten(0, (b, s))
        else:
            out = ((q @ k.transpose(-2, -1)) * scale).softmax(dim=-1) @ v
        out = out.transpose(2, 3).reshape(b, s, t, c)
        return self.to_out(interleave_sublattices(out, side, factor))


class RepFeedForward(nn.Module):
    """Training form of the FFN: paired 1x1 convolutions, three depthwise branches and identity."""

    def __init__(self, width: int, mlp_ratio: int):
        super().__init__()
        inner = mlp_ratio * width
        half = inner // 2
        self.project_in = nn.Sequential(nn.Conv2d(width, half, 1), nn.Conv2d(half, inner, 1))
        self.dwconv = nn.ModuleList(
            nn.Conv2d(inner, inner, k, padding=k // 2, groups=inner) for k in (5, 3, 1)
        )
        self.project_out = nn.Sequential(nn.Conv2d(inner, half, 1), nn.Conv2d(half, width, 1))

    def forward(self, x: Tensor) -> Tensor:
        x = F.gelu(self.project_in(x))
        x = x + self.dwconv[0](x) + self.dwconv[1](x) + self.dwconv[2](x)
        return self.project_out(x)


class PlainFeedForward(nn.Module):
    """DiT's MLP, at every pixel."""

    def __init__(self, width: int, mlp_ratio: int):
        super().__init__()
        self.fc1 = nn.Conv2d(width, mlp_ratio * width, 1)
        self.fc2 = nn.Conv2d(mlp_ratio * width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x), approximate="tanh"))


class ChannelScale(nn.Module):
    """A 1x1 depthwise convolution as the multiplication that it is, with the same parameters."""

    def __init__(self, conv: nn.Conv2d):
        super().__init__()
        self.weight = conv.weight
        self.bias = conv.bias

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weight.view(1, -1, 1, 1) + self.bias.view(1, -1, 1, 1)


def merged_pair(pair: nn.Sequential) -> nn.Conv2d:
    """One 1x1 convolution equal to two in a row: W = W2 W1, b = W2 b1 + b2."""
    first, second = pair
    merged = nn.Conv2d(first.in_channels, second.out_channels, 1)
    w1, w2 = first.weight[:, :, 0, 0], second.weight[:, :, 0, 0]
    merged.weight.copy_((w2 @ w1)[:, :, None, None])
    merged.bias.copy_(w2 @ first.bias + second.bias)
    return merged


def merged_branches(branches: nn.ModuleList) -> nn.Conv2d:
    """One 5x5 depthwise convolution equal to the 5x5, 3x3, 1x1 and identity branches together."""
    five, three, one = branches
    channels = five.out_channels
    merged = nn.Conv2d(channels, channels, 5, padding=2, groups=channels)
    identity = torch.ones_like(one.weight)
    merged.weight.copy_(
        five.weight + F.pad(three.weight, (1, 1, 1, 1)) + F.pad(one.weight + identity, (2, 2, 2, 2))
    )
    merged.bias.copy_(five.bias + three.bias + one.bias)
    return merged


class MergedFeedForward(nn.Module):
    """Evaluation form of the FFN, computed from the training form, which stays as it was."""

    @torch.no_grad()
    def __init__(self, trained: RepFeedForward):
        super().__init__()
        self.project_in = merged_pair(trained.project_in)
        self.dwconv = merged_branches(trained.dwconv)
        self.project_out = merged_pair(trained.project_out)

    def forward(self, x: Tensor) -> Tensor:
        return self.project_out(self.dwconv(F.gelu(self.project_in(x))))


class Block(nn.Module):
    """One U-DiT block: attention and FFN, twice, each pair with its own adaLN."""

    def __init__(self, width: int, config: UDiTConfig):
        super().__init__()
        feed_forward = RepFeedForward if config.rep_ffn else PlainFeedForward
        self.norm = ChannelNorm()
        self.attn1 = Attention(width, config)
        self.mlp1 = feed_forward(width, config.mlp_ratio)
        self.adaLN_modulation1 = nn.Sequential(nn.SiLU(), nn.Linear(width, 6 * width))
        self.attn2 = Attention(width, config)
        self.mlp2 = feed_forward(width, config.mlp_ratio)
        self.adaLN_modulation2 = nn.Sequential(nn.SiLU(), nn.Linear(width, 6 * width))

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        x = self._half(x, self.adaLN_modulation1(c), self.attn1, self.mlp1)
        return self._half(x, self.adaLN_modulation2(c), self.attn2, self.mlp2)

    def _half(self, x: Tensor, modulation: Tensor, attn: nn.Module, mlp: nn.Module) -> Tensor:
        shift_a, scale_a, gate_a, shift_m, scale_m, gate_m = modulation.chunk(6, dim=1)
        x = x + gate_a[:, :, None, None] * attn(modulate(self.norm(x), shift_a, scale_a))
        return x + gate_m[:, :, None, None] * mlp(modulate(self.norm(x), shift_m, scale_m))


class Level(nn.ModuleList):
    def __init__(self, width: int, config: UDiTConfig, depth: int):
        super().__init__(Block(width, config) for _ in range(depth))

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        for block in self:
            x = block(x, c)
        return x


class Downsample(nn.Module):
    """(B,C,H,W) -> (B,2C,H/2,W/2)."""

    def __init__(self, width: int):
        super().__init__()
        conv = nn.Conv2d(width, width // 2, 3, padding=1, bias=False)
        self.body = nn.Sequential(conv, nn.PixelUnshuffle(2))

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


class Upsample(nn.Module):
    """(B,C,H,W) -> (B,C/2,2H,2W)."""

    def __init__(self, width: int):
        super().__init__()
        conv = nn.Conv2d(width, width * 2, 3, padding=1, bias=False)
        self.body = nn.Sequential(conv, nn.PixelShuffle(2))

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


class FinalLayer(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.norm = ChannelNorm()
        self.out_proj = nn.Conv2d(width, OUTPUT_CHANNELS, 3, padding=1)
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 2 * width))

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        shift, scale = self.adaLN_modulation(c).chunk(2, dim=1)
        return self.out_proj(modulate(self.norm(x), shift, scale))


class UDiT(nn.Module):
    """Noise and variance (B,8,H,W) of a noisy latent (B,4,H,W) at timesteps t (B), labels y (B)."""

    def __init__(self, config: UDiTConfig):
        super().__init__()
        w1, w2, w3 = (config.hidden * factor for factor in (1, 2, 4))
        depth = config.depth
        self.x_embedder = PatchEmbedder(w1)
        for level, width in enumerate((w1, w2, w3), start=1):
            labels = LabelEmbedder(config.classes, width, config.label_dropout)
            setattr(self, f"t_embedder_{level}", TimestepEmbedder(width))
            setattr(self, f"y_embedder_{level}", labels)
        self.encoder_level_1 = Level(w1, config, depth[0])
        self.down1_2 = Downsample(w1)
        self.encoder_level_2 = Level(w2, config, depth[1])
        self.down2_3 = Downsample(w2)
        self.latent = Level(w3, config, depth[2])
        self.up3_2 = Upsample(w3)
        self.reduce_chan_level2 = nn.Conv2d(2 * w2, w2, 1)
        self.decoder_level_2 = Level(w2, config, depth[3])
        self.up2_1 = Upsample(w2)
        self.reduce_chan_level1 = nn.Conv2d(2 * w1, w2, 1)
        self.decoder_level_1 = Level(w2, config, depth[4])  # stays at the second level's width
        self.output = nn.Conv2d(w2, w2, 3, padding=1)
        self.final_layer = FinalLayer(w2)

    def forward(self, x: Tensor, t: Tensor, y: Tensor) -> Tensor:
        c1 = self.t_embedder_1(t) + self.y_embedder_1(y)
        c2 = self.t_embedder_2(t) + self.y_embedder_2(y)
        c3 = self.t_embedder_3(t) + self.y_embedder_3(y)
        skip1 = self.encoder_level_1(self.x_embedder(x), c1)
        skip2 = self.encoder_level_2(self.down1_2(skip1), c2)
        x = self.latent(self.down2_3(skip2), c3)
        x = self.reduce_chan_level2(torch.cat([self.up3_2(x), skip2], dim=1))
        x = self.decoder_level_2(x, c2)
        x = self.reduce_chan_level1(torch.cat([self.up2_1(x), skip1], dim=1))
        x = self.decoder_level_1(x, c2)
        return self.final_layer(self.output(x), c2)


def rep_blocks_of(model: nn.Module) -> List[Block]:
    """Those with the FFN that has a form for training and one for evaluation."""
    blocks = [module for module in model.modules() if isinstance(module, Block)]
    return [block for block in blocks if isinstance(block.mlp1, RepFeedForward)]


@torch.no_grad()
def initialise(model: nn.Module) -> nn.Module:
    """Xavier and N(0, 0.02) as published, except that nothing is zero.

    For every family. Where the published initialisation is zero (adaLN, final projection) this draws N(0, 0.02): zero
    gates would make most gradients zero or denormal, and the timing unlike that of real training.
    """
    for module in model.modules():
        if isinstance(module, (nn.Linear, nn.Conv2d)):
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, std=0.02)
    for name, weight in model.named_parameters():
        if name.endswith("weight") and any(
            part in name for part in ("t_embedder", "adaLN_modulation", "final_layer")
        ):
            nn.init.normal_(weight, std=0.02)
    return model


def merge_for_evaluation(model: nn.Module) -> nn.Module:
    """Replaces every rep FFN by its merged form, in place; the model can no longer be trained."""
    for block in rep_blocks_of(model):
        block.mlp1 = MergedFeedForward(block.mlp1)
        block.mlp2 = MergedFeedForward(block.mlp2)
    return model.eval()


def avoid_slow_depthwise(model: nn.Module) -> nn.Module:
    """Replaces the 1x1 depthwise convolutions of the training form, in place; keys stay the same.

    On one thread PyTorch 1.13 keeps every 1x1 convolution away from oneDNN, which is right for
    ordinary ones, but leaves a depthwise one to a loop over single channels.
    """
    for block in rep_blocks_of(model):
        for ffn in (block.mlp1, block.mlp2):
            ffn.dwconv[2] = ChannelScale(ffn.dwconv[2])
    return model
