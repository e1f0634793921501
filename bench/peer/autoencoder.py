"""Autoencoders in PyTorch, as published: AutoencoderKL under diffusers' names, and TAESD."""

from typing import Any, Dict, List

import torch
import torch.nn.functional as F
from torch import Tensor, nn

HALVES = {"encode": "encoder", "decode": "decoder"}  # by task
FACTOR = 8


def half_of(spec: Dict[str, Any], task: str) -> nn.Module:
    """The half of an autoencoder that does a task, from what it takes to what it gives.

    Raises ValueError for an option that the peer lacks.
    """
    return autoencoder_of(spec).half(task)


def input_shape(spec: Dict[str, Any], task: str, height: int, width: int) -> List[int]:
    if task == "encode":
        return [3, height, width]
    return [spec["config"]["latentChannels"], height // FACTOR, width // FACTOR]


def autoencoder_of(spec: Dict[str, Any]) -> nn.Module:
    family, config = spec["family"], spec["config"]
    if config["inChannels"] != 3 or config["factor"] != FACTOR:
        raise ValueError(f"the peer has no {family} of other channels or factors")
    if family == "AutoencoderKL":
        return AutoencoderKL(config)
    if config["middleNorm"]:
        raise ValueError("the peer has no TAESD with norms")
    return Taesd(config["latentChannels"], config["width"])


# AutoencoderKL


class ResidualBlock(nn.Module):
    def __init__(self, groups: int, inputs: int, outputs: int) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(groups, inputs, eps=1e-6)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.norm2 = nn.GroupNorm(groups, outputs, eps=1e-6)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        if inputs != outputs:
            self.conv_shortcut = nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        change = self.conv2(F.silu(self.norm2(self.conv1(F.silu(self.norm1(x))))))
        return (self.conv_shortcut(x) if hasattr(self, "conv_shortcut") else x) + change


class PixelAttention(nn.Module):
    def __init__(self, groups: int, width: int) -> None:
        super().__init__()
        self.group_norm = nn.GroupNorm(groups, width, eps=1e-6)
        self.to_q = nn.Linear(width, width)
        self.to_k = nn.Linear(width, width)
        self.to_v = nn.Linear(width, width)
        self.to_out = nn.ModuleList([nn.Linear(width, width)])

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.group_norm(x).flatten(2).transpose(1, 2)
        q, k, v = (to(tokens).unsqueeze(1) for to in (self.to_q, self.to_k, self.to_v))
        mixed = F.scaled_dot_product_attention(q, k, v).squeeze(1)
        return x + self.to_out[0](mixed).transpose(1, 2).reshape(x.shape)


class MidBlock(nn.Module):
    def __init__(self, config: Dict[str, Any], width: int) -> None:
        super().__init__()
        groups = config["normGroups"]
        self.attentions = nn.ModuleList(
            [PixelAttention(groups, width)] if config["midAttention"] else []
        )
        self.resnets = nn.ModuleList([ResidualBlock(groups, width, width) for _ in range(2)])

    def forward(self, x: Tensor) -> Tensor:
        x = self.resnets[0](x)
        for attention in self.attentions:
            x = attention(x)
        return self.resnets[1](x)


class Resampler(nn.Module):
    """Halves the sides, padded below and on the right alone, or doubles them."""

    def __init__(self, width: int, halves: bool) -> None:
        super().__init__()
        self.halves = halves
        self.conv = nn.Conv2d(width, width, 3, stride=2 if halves else 1, padding=0 if halves else 1)

    def forward(self, x: Tensor) -> Tensor:
        if self.halves:
            return self.conv(F.pad(x, (0, 1, 0, 1)))
        return self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))


class Level(nn.Module):
    def __init__(self, blocks: List[nn.Module], kind: str, samplers: List[nn.Module]) -> None:
        super().__init__()
        self.resnets = nn.ModuleList(blocks)
        setattr(self, kind, nn.ModuleList(samplers))
        self.samplers = samplers  # a list, so that they have one name

    def forward(self, x: Tensor) -> Tensor:
        for part in [*self.resnets, *self.samplers]:
            x = part(x)
        return x


class Half(nn.Module):
    """Encoder or decoder."""

    def __init__(self, config: Dict[str, Any], encodes: bool) -> None:
        super().__init__()
        self.encodes = encodes
        groups, latents = config["normGroups"], config["latentChannels"]
        widths = config["levelChannels"] if encodes else config["levelChannels"][::-1]
        inputs, outputs = (3, 2 * latents) if encodes else (latents, 3)
        count = config["layersPerLevel"] + (0 if encodes else 1)
        kind = "downsamplers" if encodes else "upsamplers"
        levels, before = [], widths[0]
        for i, width in enumerate(widths):
            blocks = [ResidualBlock(groups, before if n == 0 else width, width) for n in range(count)]
            samplers = [] if i == len(widths) - 1 else [Resampler(width, halves=encodes)]
            levels.append(Level(blocks, kind, samplers))
            before = width
        self.conv_in = nn.Conv2d(inputs, widths[0], 3, padding=1)
        setattr(self, "down_blocks" if encodes else "up_blocks", nn.ModuleList(levels))
        self.mid_block = MidBlock(config, widths[-1] if encodes else widths[0])
        self.conv_norm_out = nn.GroupNorm(groups, widths[-1], eps=1e-6)
        self.conv_out = nn.Conv2d(widths[-1], outputs, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv_in(x)
        if not self.encodes:
            x = self.mid_block(x)
        for level in self.down_blocks if self.encodes else self.up_blocks:
            x = level(x)
        if self.encodes:
            x = self.mid_block(x)
        return self.conv_out(F.silu(self.conv_norm_out(x)))


class AutoencoderKL(nn.Module):
    def __init__(self, config: Dict[str, Any]) -> None:
        super().__init__()
        latents = config["latentChannels"]
        self.encoder = Half(config, encodes=True)
        self.decoder = Half(config, encodes=False)
        if config["quantConv"]:
            self.quant_conv = nn.Conv2d(2 * latents, 2 * latents, 1)
            self.post_quant_conv = nn.Conv2d(latents, latents, 1)

    def half(self, task: str) -> nn.Module:
        """Encoding ends with the mean, which is the first half of what the convolution gives."""
        between = [getattr(self, name, nn.Identity()) for name in ("quant_conv", "post_quant_conv")]
        if task == "encode":
            return nn.Sequential(self.encoder, between[0], FirstHalf())
        return nn.Sequential(between[1], self.decoder)


class FirstHalf(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.chunk(2, 1)[0]


# TAESD


class Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        first, second, third = (nn.Conv2d(width, width, 3, padding=1) for _ in range(3))
        self.conv = nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), third)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.conv(x) + x)


class SoftClamp(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return 3 * torch.tanh(x / 3)


class Taesd(nn.Module):
    def __init__(self, latents: int, width: int) -> None:
        super().__init__()
        blocks = lambda count: [Block(width) for _ in range(count)]  # noqa: E731
        conv = lambda **given: nn.Conv2d(width, width, 3, padding=1, bias=False, **given)  # noqa: E731
        down = [each for _ in range(3) for each in (conv(stride=2), *blocks(3))]
        up = [each for _ in range(3) for each in (*blocks(3), nn.Upsample(scale_factor=2), conv())]
        first, last = nn.Conv2d(3, width, 3, padding=1), nn.Conv2d(width, latents, 3, padding=1)
        self.encoder = nn.Sequential(first, *blocks(1), *down, last)
        first, last = nn.Conv2d(latents, width, 3, padding=1), nn.Conv2d(width, 3, 3, padding=1)
        self.decoder = nn.Sequential(SoftClamp(), first, nn.ReLU(), *up, *blocks(1), last)

    def half(self, task: str) -> nn.Module:
        return getattr(self, HALVES[task])
