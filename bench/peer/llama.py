"""DiT-LLaMA and SiT-LLaMA in PyTorch, eager, float32: DiT with the parts of language models.

Written from the paper (VisionLLaMA, arXiv 2403.00522) and from the published checkpoints' keys and
shapes. Two-dimensional rotary positions in every block stand in for added sine-cosine ones, which
checkpoints hold all the same, and a gated feed-forward network without biases for the MLP. Layer
norms and adaLN-Zero are DiT's.

Axes: B batch, T tokens, D width.
"""

import math
from typing import Tuple

import torch.nn.functional as F
from torch import Tensor, nn

from dit import Block, DiT, DiTConfig, SelfAttention
from network import rotary_factors, rotate, rotate_by_parts

HIDDEN_UNIT = 256  # hidden channels are rounded up to a multiple of this


class RotaryAttention(SelfAttention):
    def __init__(self, width: int, heads: int, side: int):
        super().__init__(width, heads)
        self.register_buffer("factors", rotary_factors(side, width // heads), persistent=False)

    def placed(self, qkv: Tensor) -> Tuple[Tensor, ...]:
        q, k, v = qkv.unbind(2)
        turn = rotate_by_parts if self.fused else rotate
        return tuple(
            each.transpose(1, 2) for each in (turn(q, self.factors), turn(k, self.factors), v)
        )


class GatedFeedForward(nn.Module):
    """SwiGLU: as costly as DiT's MLP, with three matrices of two thirds of its hidden channels."""

    def __init__(self, width: int):
        super().__init__()
        hidden = math.ceil(2 * 4 * width // 3 / HIDDEN_UNIT) * HIDDEN_UNIT
        self.c_fc1 = nn.Linear(width, hidden, bias=False)
        self.c_fc2 = nn.Linear(width, hidden, bias=False)
        self.c_proj = nn.Linear(hidden, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.c_proj(F.silu(self.c_fc1(x)) * self.c_fc2(x))


class LlamaBlock(Block):
    def __init__(self, config: DiTConfig):
        super().__init__(config)
        self.attn = RotaryAttention(config.width, config.heads, config.side // config.patch)
        self.mlp = GatedFeedForward(config.width)


class DiTLlama(DiT):
    def __init__(self, config: DiTConfig):
        super().__init__(config, LlamaBlock)

    def to_tokens(self, x: Tensor) -> Tensor:
        return self.x_embedder(x)
