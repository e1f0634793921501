"""From this project's model specification to a network of the peer."""

from typing import Any, Dict, Tuple

from torch import nn

from dit import DiT, DiTConfig
from network import UDiT, UDiTConfig


def model_of(spec: Dict[str, Any]) -> Tuple[nn.Module, int, int]:
    """The network, the side of its latents and its number of classes; U-DiT-S's where unsaid."""
    given = spec["config"]
    side, classes = given.get("inputSize", 32), given.get("numClasses", 1000)
    shared = {"classes": classes, "label_dropout": given.get("classDropoutProb", 0.1)}
    if spec["family"] == "DiT":
        names = {"patch": "patchSize", "width": "width", "depth": "depth", "heads": "heads"}
        sizes = {ours: given[theirs] for ours, theirs in names.items()}
        return DiT(DiTConfig(side=side, **sizes, **shared)), side, classes
    names = {"hidden": "width", "heads": "heads", "depth": "depth"}
    sizes = {ours: given[theirs] for ours, theirs in names.items() if theirs in given}
    return UDiT(UDiTConfig(**sizes, **shared)), side, classes
