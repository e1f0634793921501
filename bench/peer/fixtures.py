"""Recorded networks of the originals: which of them tell that the peer does a model right."""

import json
import math
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autoencoder import autoencoder_of
from features import feature_network_of
from presets import model_of

DTYPES = {"F32": torch.float32, "F64": torch.float64, "I64": torch.int64, "U8": torch.uint8}

Spec = Dict[str, Any]

# Those of the larger collection are used where they are; the first is there in every clone.
UDIT = ("udit/base16",)
UDIT_STEPS = ("udit/attn_none_posemb_none_df1", "udit/ffn_basic")  # on the way from DiT-UNet
DIT = ("dit/dit_p4", "dit/dit_p2", "dit/dit_p2_nosigma")
SIT = ("SiT-S_2", "sit/sit_p2", "sit/sit_p2_nosigma")
DIT_LLAMA = ("llama/dit_llama_p4", "llama/dit_llama_p2")
SIT_LLAMA = ("llama/dit_llama_p4", "llama/sit_llama_p2")
FULL_SIZE = ("SiT-S_2",)


@dataclass(frozen=True)
class Case:
    name: str
    spec: Spec
    weights: Dict[str, Tensor]
    tensors: Dict[str, Tensor]  # inputs x, t, y and what came out; some have those of guidance

    def network(self) -> nn.Module:
        """The names of the weights must be the model's."""
        model, _, _ = model_of(self.spec)
        model.load_state_dict(self.weights)
        return model

    @property
    def null_label(self) -> int:
        return self.spec["config"]["numClasses"]


def cases_for(folder: Path, spec: Spec) -> List[Case]:
    """All that are in the folder of those for a model; FileNotFoundError without the first."""
    first, *others = names_for(spec)
    there = [name for name in others if path_of(folder, name, ".json").exists()]
    return [read_case(folder, name, discards_variance(spec)) for name in (first, *there)]


def names_for(spec: Spec) -> Tuple[str, ...]:
    if spec["family"] == "U-DiT":
        is_step = spec["config"].get("attention", "cosine") == "dot"
        return UDIT_STEPS if is_step else UDIT
    if spec["family"] == "DiT":
        return SIT if discards_variance(spec) else DIT
    return SIT_LLAMA if discards_variance(spec) else DIT_LLAMA


def discards_variance(spec: Spec) -> bool:
    return spec["config"].get("discardSigma", False)


def path_of(folder: Path, name: str, ending: str) -> Path:
    return folder / ("fullsize" if name in FULL_SIZE else "models") / f"{name}{ending}"


def read_case(folder: Path, name: str, discards: bool) -> Case:
    """With `discards`, DiT's numbers are those of a network that leaves the variance out."""
    told = json.loads(path_of(folder, name, ".json").read_text())
    tensors = read_safetensors(path_of(folder, name, ".safetensors"))
    if name in FULL_SIZE:
        return full_size_case(name, told, tensors)
    spec = spec_of(told["config"], told["kind"], discards)
    file = told.get("weights", f"{name.split('/')[-1]}.weights.safetensors")
    weights = read_safetensors(path_of(folder, name, ".json").parent / file)
    if spec["config"].get("attention") == "dot":  # it shares the file of cosine attention
        weights = {key: each for key, each in weights.items() if not key.endswith("logit_scale")}
    if discards:
        tensors["out"] = tensors["out"][:, : tensors["x"].shape[1]]
    return Case(name, spec, weights, tensors)


def spec_of(config: Dict[str, Any], kind: str, discards: bool = False) -> Spec:
    """This project's specification of a network that the originals' options describe."""
    given = {
        "inputSize": config["input_size"],
        "numClasses": config["num_classes"],
        "classDropoutProb": 0,
        "width": config["hidden_size"],
        "depth": config["depth"],
        "heads": config["num_heads"],
        "learnSigma": config.get("learn_sigma", True) and not discards,
    }
    if kind == "U-DiT":
        given.update(
            mlpRatio=config.get("mlp_ratio", 2),
            downFactor=config["down_factor"],
            downsampler=config["downsampler"],
            attention="cosine" if config.get("attn_type", "v2") == "v2" else "dot",
            position=config.get("posemb_type", "rope2d") or "none",
            ffn=config.get("ffn_type", "rep"),
        )
        return {"family": "U-DiT", "config": given}
    given.update(patchSize=config["patch_size"])
    given["discardSigma"] = discards and config.get("learn_sigma", True)
    return {"family": "DiT-LLaMA" if "LLaMA" in kind else "DiT", "config": given}


def full_size_case(name: str, told: Dict[str, Any], tensors: Dict[str, Tensor]) -> Case:
    """SiT-S/2 as published, with weights from a formula (fullsize/README.md)."""
    config = {"input_size": 32, "patch_size": 2, "hidden_size": 384, "depth": 12, "num_heads": 6}
    spec = spec_of({**config, "num_classes": 1000}, "SiT", discards=True)
    spec["config"]["classDropoutProb"] = 0.1
    weights = model_of(spec)[0].state_dict()
    for position, (key, value) in enumerate(weights.items()):
        if key != "pos_embed":
            weights[key] = formula_weight(position, value.shape)
    case = {"x": tensors["x_v2"], "out": tensors["out_v2"]}
    case.update(t=torch.tensor(told["t"]), y=torch.tensor(told["y"]))
    return Case(name, spec, weights, case)


def read_half(folder: Path, family: str, task: str) -> Tuple[Tensor, Tensor, nn.Module]:
    """What a recorded autoencoder was given and gave, and the half that does it (vae/README.md)."""
    common = {"inChannels": 3, "latentChannels": 4, "factor": 8}
    if family == "TAESD":
        autoencoder = autoencoder_of(
            {"family": family, "config": {**common, "width": 64, "middleNorm": False}}
        )
        for half in (autoencoder.encoder, autoencoder.decoder):
            weights = half.state_dict()
            for position, (key, value) in enumerate(weights.items()):
                weights[key] = formula_weight(position, value.shape)
            half.load_state_dict(weights)
        tensors = read_safetensors(folder / "taesd_formula.safetensors")
        names = ("picture", "latents") if task == "encode" else ("z", "decoded")
        return (*(tensors[name] for name in names), autoencoder.half(task))
    sizes = {"levelChannels": [128, 256, 512, 512], "layersPerLevel": 2, "normGroups": 32}
    config = {**common, **sizes, "midAttention": True, "quantConv": True}
    autoencoder = autoencoder_of({"family": family, "config": config})
    keys = json.loads((folder / "sd_vae_keys.json").read_text())["keys"]
    shapes = {key: value.shape for key, value in autoencoder.state_dict().items()}
    autoencoder.load_state_dict(
        {
            key: formula_weight(position, shapes[key], vectors=0.2, norms=float("norm" in key and key.endswith("weight")))
            for position, key in enumerate(keys)
        }
    )
    tensors = read_safetensors(folder / "sd_vae_formula.safetensors")
    if task == "encode":
        return tensors["x"], tensors["moments"].chunk(2, 1)[0], autoencoder.half(task)
    return tensors["z"], tensors["decoded"], autoencoder.half(task)


def read_features(folder: Path, spec: Spec) -> Tuple[Tensor, Dict[str, Tensor], nn.Module]:
    """What a recorded feature network was given, what it gave, and the network (eval/README.md)."""
    name = "dinov2_vits14_98x126" if spec["family"] == "DINOv2" else "inception_40x56"
    told = json.loads((folder / f"{name}.json").read_text())
    tensors = read_safetensors(folder / f"{name}.safetensors")
    if spec["family"] == "DINOv2":
        small = {"inputSize": 224, "patchSize": 14, "positions": 37, "width": 384, "depth": 12, "heads": 6}
        network = feature_network_of({**spec, "config": small})
        shapes = {key: torch.Size(shape) for key, shape in told["keys"].items()}
        tokens = ("cls_token", "pos_embed", "mask_token")
        gain, centred = 12, lambda key: key.endswith("gamma") or ("norm" in key and key.endswith("weight"))
        x = tensors["x"]
        expected = {"class token": tensors["cls"]}
    else:
        network = feature_network_of(spec)
        pairs = (key.rstrip("]").split(":[") for key in told["key_order"])
        shapes = {key: torch.Size(map(int, shape.split(", "))) for key, shape in pairs}
        tokens = ()
        gain, centred = 24, lambda key: key.endswith(("bn.weight", "running_var"))
        resized = F.interpolate(tensors["x"], (299, 299), mode="bilinear", align_corners=False)
        x = 2 * resized - 1
        expected = {"features": tensors["block3_2048"], "logits": tensors["logits_1008_nobias"]}
    weights = {}
    for position, (key, shape) in enumerate(shapes.items()):
        if len(shape) > 1 and key not in tokens:
            weights[key] = formula(position, shape, math.sqrt(gain / math.prod(shape[1:])))
        else:
            weights[key] = formula(position, shape, *((0.5, 1) if centred(key) else (0.2, 0)))
    network.load_state_dict(weights)
    return x, expected, network


def formula_weight(
    position: int, shape: torch.Size, vectors: float = 0.05, norms: float = 0
) -> Tensor:
    """Vectors have a spread of their own, and weights of norms lie around `norms`."""
    if len(shape) > 1:
        return formula(position, shape, math.sqrt(12 / math.prod(shape[1:])))
    return formula(position, shape, vectors, norms)


def formula(position: int, shape: torch.Size, spread: float, offset: float = 0) -> Tensor:
    """The second formula: a hash of each element's index and of the tensor's position, in [-1/2, 1/2)."""
    word = torch.arange(shape.numel()) * 2654435761 + position * 2246822519 + 12345
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B)):
        word = low_word(word)
        word = (word ^ (word >> shift)) * factor  # may wrap around, which leaves the low word
    word = low_word(word)
    uniform = (word ^ (word >> 16)).double() / 2**32 - 0.5
    return (offset + spread * uniform).float().reshape(shape)


def low_word(integers: Tensor) -> Tensor:
    return integers & 0xFFFFFFFF


def read_safetensors(path: Path) -> Dict[str, Tensor]:
    data = bytearray(path.read_bytes())
    (header_bytes,) = struct.unpack_from("<Q", data)
    start = 8 + header_bytes
    header = json.loads(data[8:start].decode())
    header.pop("__metadata__", None)
    tensors = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        # a copy, since an offset in the file need not be aligned to the element size
        flat = torch.frombuffer(data[start + begin : start + end], dtype=DTYPES[entry["dtype"]])
        tensors[name] = flat.reshape(entry["shape"])
    return tensors
