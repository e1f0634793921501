"""From this project's model specification to a network of the peer."""

from typing import Any, Dict, Tuple

from torch import nn

from dit import DiT, DiTConfig
from llama import DiTLlama
from network import UDiT, UDiTConfig

# Options of a specification that the peer has one value of; those unsaid are U-DiT-S's.
ONLY = {
    "U-DiT": {"inChannels": 4, "learnSigma": True, "downShortcut": True},
    "DiT": {"inChannels": 4, "mlpRatio": 4, "tokens": "none"},
    "DiT-LLaMA": {"inChannels": 4, "mlpRatio": 4, "tokens": "none"},
}


def model_of(spec: Dict[str, Any]) -> Tuple[nn.Module, int, int]:
    """The network, the side of its latents and its number of classes.

    Raises ValueError for an option that the peer lacks, since another network would be timed.
    """
    family, given = spec["family"], spec["config"]
    if family not in ONLY:
        raise ValueError(f"the peer has no {family}")
    for option, value in ONLY[family].items():
        if given.get(option, value) != value:
            raise ValueError(f"the peer has no {family} with {option} {given[option]}")
    side, classes = given.get("inputSize", 32), given.get("numClasses", 1000)
    shared = {"classes": classes, "label_dropout": given.get("classDropoutProb", 0.1)}
    if family == "U-DiT":
        return UDiT(udit_config(given, shared)), side, classes
    names = {"patch": "patchSize", "width": "width", "depth": "depth", "heads": "heads"}
    sizes = {ours: given[theirs] for ours, theirs in names.items()}
    config = DiTConfig(side=side, variance=variance_of(given), **sizes, **shared)
    return (DiTLlama if family == "DiT-LLaMA" else DiT)(config), side, classes


def variance_of(given: Dict[str, Any]) -> str:
    if given.get("discardSigma", False):
        return "discarded"
    return "learned" if given["learnSigma"] else "none"


def udit_config(given: Dict[str, Any], shared: Dict[str, Any]) -> UDiTConfig:
    names = {"hidden": "width", "heads": "heads", "mlp_ratio": "mlpRatio"}
    names.update(depth="depth", down_factor="downFactor")
    sizes = {ours: given[theirs] for ours, theirs in names.items() if theirs in given}
    return UDiTConfig(
        down_kernel=choice(given, "downsampler", dwconv5=5, dwconv3=3, dwconv1=1),
        downsamples=choice(given, "tokens", qkv=True, none=False),
        cosine=choice(given, "attention", cosine=True, dot=False),
        rotary=choice(given, "position", rope2d=True, none=False),
        rep_ffn=choice(given, "ffn", rep=True, basic=False),
        **sizes,
        **shared,
    )


def choice(given: Dict[str, Any], option: str, **meanings: Any) -> Any:
    """What the value of an option means here; where unsaid, the first."""
    value = given.get(option, next(iter(meanings)))
    if value not in meanings:
        raise ValueError(f"the peer has no U-DiT with {option} {value}")
    return meanings[value]
