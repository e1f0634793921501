"""Networks of features in PyTorch, as published: Inception-v3 of FID and DINOv2, after their preprocessing."""

from typing import Any, Dict, List, Tuple, Union

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Kernel = Union[int, Tuple[int, int]]


def feature_network_of(spec: Dict[str, Any]) -> nn.Module:
    config = spec["config"]
    return DinoV2(config) if spec["family"] == "DINOv2" else Inception(config["classes"])


def own_size(spec: Dict[str, Any]) -> int:
    """Of the pictures that it takes without resizing."""
    return spec["config"]["inputSize"]


# Inception-v3 under the names of pytorch-fid


class Conv(nn.Module):
    def __init__(self, inputs: int, outputs: int, kernel: Kernel, stride: int = 1, padding: Any = None) -> None:
        super().__init__()
        same = kernel // 2 if isinstance(kernel, int) else tuple(side // 2 for side in kernel)
        window = {"stride": stride, "padding": same if padding is None else padding}
        self.conv = nn.Conv2d(inputs, outputs, kernel, bias=False, **window)
        self.bn = nn.BatchNorm2d(outputs, eps=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)), inplace=True)


def neighbour_mean(x: Tensor) -> Tensor:
    return F.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)


def neighbour_maximum(x: Tensor) -> Tensor:
    return F.max_pool2d(x, 3, stride=1, padding=1)


class Block(nn.Module):
    """Branches side by side: chains of convolutions by name, of which a list is a row and a column side by side."""

    chains: List[List[Any]]

    def __init__(self, pool: Any = None, **convolutions: Conv) -> None:
        super().__init__()
        self.pool = pool
        for name, convolution in convolutions.items():
            self.add_module(name, convolution)

    def through(self, x: Tensor, chain: List[Any]) -> Tensor:
        for link in chain:
            if callable(link):
                x = link(x)
            elif isinstance(link, list):
                x = torch.cat([getattr(self, name)(x) for name in link], 1)
            else:
                x = getattr(self, link)(x)
        return x

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.through(x, chain) for chain in self.chains], 1)


class BlockA(Block):
    def __init__(self, inputs: int, pooled: int) -> None:
        super().__init__(
            branch1x1=Conv(inputs, 64, 1),
            branch5x5_1=Conv(inputs, 48, 1),
            branch5x5_2=Conv(48, 64, 5),
            branch3x3dbl_1=Conv(inputs, 64, 1),
            branch3x3dbl_2=Conv(64, 96, 3),
            branch3x3dbl_3=Conv(96, 96, 3),
            branch_pool=Conv(inputs, pooled, 1),
        )
        self.chains = [
            ["branch1x1"],
            ["branch5x5_1", "branch5x5_2"],
            ["branch3x3dbl_1", "branch3x3dbl_2", "branch3x3dbl_3"],
            [neighbour_mean, "branch_pool"],
        ]


class BlockB(Block):
    def __init__(self, inputs: int) -> None:
        super().__init__(
            branch3x3=Conv(inputs, 384, 3, 2, 0),
            branch3x3dbl_1=Conv(inputs, 64, 1),
            branch3x3dbl_2=Conv(64, 96, 3),
            branch3x3dbl_3=Conv(96, 96, 3, 2, 0),
        )
        self.chains = [["branch3x3"], ["branch3x3dbl_1", "branch3x3dbl_2", "branch3x3dbl_3"], [halved_maximum]]


def halved_maximum(x: Tensor) -> Tensor:
    return F.max_pool2d(x, 3, stride=2)


class BlockC(Block):
    def __init__(self, inputs: int, inner: int) -> None:
        super().__init__(
            branch1x1=Conv(inputs, 192, 1),
            branch7x7_1=Conv(inputs, inner, 1),
            branch7x7_2=Conv(inner, inner, (1, 7)),
            branch7x7_3=Conv(inner, 192, (7, 1)),
            branch7x7dbl_1=Conv(inputs, inner, 1),
            branch7x7dbl_2=Conv(inner, inner, (7, 1)),
            branch7x7dbl_3=Conv(inner, inner, (1, 7)),
            branch7x7dbl_4=Conv(inner, inner, (7, 1)),
            branch7x7dbl_5=Conv(inner, 192, (1, 7)),
            branch_pool=Conv(inputs, 192, 1),
        )
        self.chains = [
            ["branch1x1"],
            [f"branch7x7_{i}" for i in (1, 2, 3)],
            [f"branch7x7dbl_{i}" for i in (1, 2, 3, 4, 5)],
            [neighbour_mean, "branch_pool"],
        ]


class BlockD(Block):
    def __init__(self, inputs: int) -> None:
        super().__init__(
            branch3x3_1=Conv(inputs, 192, 1),
            branch3x3_2=Conv(192, 320, 3, 2, 0),
            branch7x7x3_1=Conv(inputs, 192, 1),
            branch7x7x3_2=Conv(192, 192, (1, 7)),
            branch7x7x3_3=Conv(192, 192, (7, 1)),
            branch7x7x3_4=Conv(192, 192, 3, 2, 0),
        )
        self.chains = [
            ["branch3x3_1", "branch3x3_2"],
            [f"branch7x7x3_{i}" for i in (1, 2, 3, 4)],
            [halved_maximum],
        ]


class BlockE(Block):
    def __init__(self, inputs: int, pool: Any) -> None:
        super().__init__(
            branch1x1=Conv(inputs, 320, 1),
            branch3x3_1=Conv(inputs, 384, 1),
            branch3x3_2a=Conv(384, 384, (1, 3)),
            branch3x3_2b=Conv(384, 384, (3, 1)),
            branch3x3dbl_1=Conv(inputs, 448, 1),
            branch3x3dbl_2=Conv(448, 384, 3),
            branch3x3dbl_3a=Conv(384, 384, (1, 3)),
            branch3x3dbl_3b=Conv(384, 384, (3, 1)),
            branch_pool=Conv(inputs, 192, 1),
        )
        self.chains = [
            ["branch1x1"],
            ["branch3x3_1", ["branch3x3_2a", "branch3x3_2b"]],
            ["branch3x3dbl_1", "branch3x3dbl_2", ["branch3x3dbl_3a", "branch3x3dbl_3b"]],
            [pool, "branch_pool"],
        ]


class Inception(nn.Module):
    """Pictures [N, 3, 299, 299] in [-1, 1] to features, the seven channels of sFID, and logits without their bias."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = Conv(3, 32, 3, 2, 0)
        self.Conv2d_2a_3x3 = Conv(32, 32, 3, 1, 0)
        self.Conv2d_2b_3x3 = Conv(32, 64, 3)
        self.Conv2d_3b_1x1 = Conv(64, 80, 1)
        self.Conv2d_4a_3x3 = Conv(80, 192, 3, 1, 0)
        self.Mixed_5b = BlockA(192, 32)
        self.Mixed_5c = BlockA(256, 64)
        self.Mixed_5d = BlockA(288, 64)
        self.Mixed_6a = BlockB(288)
        self.Mixed_6b = BlockC(768, 128)
        self.Mixed_6c = BlockC(768, 160)
        self.Mixed_6d = BlockC(768, 160)
        self.Mixed_6e = BlockC(768, 192)
        self.Mixed_7a = BlockD(768)
        self.Mixed_7b = BlockE(1280, neighbour_mean)
        self.Mixed_7c = BlockE(2048, neighbour_maximum)
        self.fc = nn.Linear(2048, classes)
        self.eval()

    def forward(self, x: Tensor) -> Tuple[Tensor, Tensor, Tensor]:
        x = halved_maximum(self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x))))
        x = halved_maximum(self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(x)))
        for name in ("5b", "5c", "5d", "6a", "6b", "6c"):
            x = getattr(self, f"Mixed_{name}")(x)
        spatial = []
        hook = self.Mixed_6d.branch1x1.register_forward_hook(lambda _, __, out: spatial.append(out[:, :7]))
        x = self.Mixed_6d(x)
        hook.remove()
        for name in ("6e", "7a", "7b", "7c"):
            x = getattr(self, f"Mixed_{name}")(x)
        features = x.mean((2, 3))
        return features, spatial[0], features @ self.fc.weight.T


# DINOv2 under its own names


class Attention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        rows, tokens, width = x.shape
        q, k, v = self.qkv(x).reshape(rows, tokens, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v)
        return self.proj(mixed.transpose(1, 2).reshape(rows, tokens, width))


class FeedForward(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, 4 * width)
        self.fc2 = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x)))


class Scale(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gamma


class TransformerBlock(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attn = Attention(width, heads)
        self.ls1 = Scale(width)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = FeedForward(width)
        self.ls2 = Scale(width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.ls1(self.attn(self.norm1(x)))
        return x + self.ls2(self.mlp(self.norm2(x)))


class Patches(nn.Module):
    def __init__(self, width: int, side: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, width, side, stride=side)

    def forward(self, x: Tensor) -> Tensor:
        return self.proj(x).flatten(2).transpose(1, 2)


class DinoV2(nn.Module):
    """Normalised pictures to the class token after the last norm."""

    def __init__(self, config: Dict[str, Any]) -> None:
        super().__init__()
        width = config["width"]
        self.patch = config["patchSize"]
        self.positions = config["positions"]
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + self.positions**2, width))
        self.mask_token = nn.Parameter(torch.zeros(1, width))  # training alone needs it
        self.patch_embed = Patches(width, self.patch)
        self.blocks = nn.ModuleList([TransformerBlock(width, config["heads"]) for _ in range(config["depth"])])
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        grid = [side // self.patch for side in x.shape[2:]]
        tokens = torch.cat([self.cls_token.expand(x.shape[0], -1, -1), self.patch_embed(x)], 1)
        tokens = tokens + self.positions_of(grid)
        for block in self.blocks:
            tokens = block(tokens)
        return self.norm(tokens)[:, 0]

    def positions_of(self, grid: List[int]) -> Tensor:
        """Bicubic; the published code adds 0.1 to each side of the grid in the scale."""
        first, learned = self.pos_embed[:, :1], self.pos_embed[:, 1:]
        square = learned.reshape(1, self.positions, self.positions, -1).permute(0, 3, 1, 2)
        scale = [(side + 0.1) / self.positions for side in grid]
        resized = F.interpolate(square, scale_factor=scale, mode="bicubic", antialias=False)
        return torch.cat([first, resized.permute(0, 2, 3, 1).flatten(1, 2)], 1)
