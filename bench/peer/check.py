"""Compares the peer with recorded numbers of the originals, so that ratios compare equal work."""

import json
import struct
from pathlib import Path
from typing import Dict, List, Tuple

import torch
from torch import Tensor, nn

from diffusion import GaussianDiffusion, guided
from dit import DiT, DiTConfig
from modes import ForInference, compiler_of, for_inference, for_training, precision_of
from network import UDiT, UDiTConfig
from training import Trainer

DTYPES = {"F32": torch.float32, "F64": torch.float64, "I64": torch.int64, "U8": torch.uint8}
FORWARD_FIXTURES = {"U-DiT": "models/udit/base16", "DiT": "models/dit/dit_p4"}
ROUNDED = 0.1  # limit of bfloat16, whose errors the large weights of fixtures magnify
TRAINING_FIXTURES = {"U-DiT": "training/udit_drop", "DiT": "training/dit_drop"}


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


def relative_l2(actual: Tensor, expected: Tensor) -> float:
    return ((actual.double() - expected.double()).norm() / expected.double().norm()).item()


class Report:
    """One line for each comparison, and what came closest to its limit or farthest beyond."""

    def __init__(self) -> None:
        self.failures = 0
        self.lines: List[str] = []
        self.worst = ""
        self._worst_share = -1.0

    def at_most(self, what: str, value: float, limit: float) -> None:
        passed = value <= limit  # false for NaN
        self.failures += not passed
        line = f"{what}: {value:.3g} (limit {limit:g})"
        self.lines.append(f"{'ok  ' if passed else 'FAIL'} {line}")
        share = value / limit if value == value else float("inf")
        if share > self._worst_share:
            self.worst, self._worst_share = line, share


def model_from(family: str, config: dict, weights: Dict[str, Tensor]) -> nn.Module:
    """The fixture's network, without label dropout; the weights' names must be the model's."""
    sizes = {"heads": config["num_heads"], "classes": config["num_classes"], "label_dropout": 0.0}
    if family == "DiT":
        sizes.update(side=config["input_size"], patch=config["patch_size"])
        sizes.update(width=config["hidden_size"], depth=config["depth"])
        model: nn.Module = DiT(DiTConfig(**sizes))
    else:
        sizes.update(hidden=config["hidden_size"], depth=tuple(config["depth"]))
        kernel = int(config["downsampler"][len("dwconv") :])
        sizes.update(down_factor=config["down_factor"], down_kernel=kernel)
        model = UDiT(UDiTConfig(**sizes))
    model.load_state_dict(weights)
    return model


def loaded(folder: Path, family: str, mode: str, rows: int) -> Tuple[ForInference, dict, dict]:
    """A fixture's network in a mode, for batches of so many rows; its tensors and its config."""
    stem = FORWARD_FIXTURES[family]
    case = read_safetensors(folder / f"{stem}.safetensors")
    config = json.loads((folder / f"{stem}.json").read_text())["config"]
    weights = read_safetensors(folder / f"{stem}.weights.safetensors")
    example = [torch.cat([case[name], case[name]])[:rows] for name in ("x", "t", "y")]
    return for_inference(model_from(family, config, weights), mode, example), case, config


def check_forward(report: Report, folder: Path, family: str, mode: str) -> None:
    network, case, _ = loaded(folder, family, mode, rows=3)
    out, expected = network(case["x"], case["t"], case["y"]), case["out"]
    rounded = mode.endswith("bf16")
    report.at_most("forward, rel L2", relative_l2(out, expected), ROUNDED if rounded else 2e-5)
    if not rounded:
        report.at_most("forward, max abs", (out - expected).abs().max().item(), 1e-4)


def check_sampling(report: Report, folder: Path, family: str, mode: str) -> None:
    """Guidance with the family's network; the steps of a whole trajectory with U-DiT's."""
    rounded = mode.endswith("bf16")
    network, case, config = loaded(folder, family, mode, rows=4)
    x, t, y = (case[f"cfg.{name}"][:2] for name in ("x", "t", "y"))
    out = guided(network, y, scale=1.5, null_label=config["num_classes"])(x, t)
    error = relative_l2(out, case["cfg.out_1.5"][:2])
    report.at_most("guided, rel L2", error, ROUNDED if rounded else 2e-5)
    if family == "DiT":
        return
    loop = read_safetensors(folder / "diffusion" / "loop_ddpm10_nocfg_clip.safetensors")
    network, _, _ = loaded(folder, family, mode, rows=2)
    diffusion, x = GaussianDiffusion(steps=10), loop["z"]
    for i, (noise, expected) in enumerate(zip(loop["noises"], loop["samples"])):
        before = x if i == 0 else loop["samples"][i - 1]
        x = diffusion.sample_step(
            lambda x, t: network(x, t, loop["y"]), before, 9 - i, noise, clip=True
        )
        error = relative_l2(x, expected)
        report.at_most(f"step {i + 1} of 10, rel L2", error, ROUNDED if rounded else 1e-4)


class RecordedDropout(nn.Module):
    """A label embedder that hides the labels which a recorded training hid."""

    def __init__(self, embedder: nn.Module, rows: int):
        super().__init__()
        self.embedding_table = embedder.embedding_table
        self.classes = embedder.classes
        self.hidden = torch.zeros(rows, dtype=torch.bool)

    def forward(self, y: Tensor) -> Tensor:
        return self.embedding_table(torch.where(self.hidden, self.classes, y))


def record_dropout(model: nn.Module, rows: int) -> List[RecordedDropout]:
    names = [name for name, _ in model.named_children() if name.startswith("y_embedder")]
    for name in names:
        setattr(model, name, RecordedDropout(getattr(model, name), rows))
    return [getattr(model, name) for name in names]


def check_training(report: Report, folder: Path, family: str, mode: str) -> None:
    check_loss(report, folder)
    folder = folder / TRAINING_FIXTURES[family]
    rounded = mode.endswith("bf16")
    expected = json.loads((folder / "expected.json").read_text())
    batches = read_safetensors(folder / "batches.safetensors")
    weights = read_safetensors(folder / "init.safetensors")
    model = model_from(family, expected["config"], weights)
    embedders = record_dropout(model, batches["y"].shape[1])
    model = for_training(model, mode)
    trainer = Trainer(model, expected["ema_decay"], compiler_of(mode), precision_of(mode))
    for step, loss in enumerate(expected["losses"]):
        for embedder, dropped in zip(embedders, batches["drop_ids"][step]):
            embedder.hidden.copy_(dropped == 1)
        actual = trainer.step_at(*(batches[name][step] for name in ("x", "t", "y", "noise")))
        limit = 0.02 if rounded else 1e-4
        report.at_most(f"loss of step {step + 1}, relative", abs(actual / loss - 1), limit)
        if step == 0:
            check_gradients(report, trainer, folder, rounded)
    for name, averaged in (("params", trainer.model), ("ema", trainer.ema)):
        path = folder / f"{name}_step5.safetensors"
        if path.exists() and not rounded:
            stored = read_safetensors(path)
            errors = [(p - stored[key]).abs().flatten() for key, p in averaged.named_parameters()]
            check_parameters(report, f"{name} after 5 steps", errors)


def check_gradients(report: Report, trainer: Trainer, folder: Path, rounded: bool) -> None:
    expected = read_safetensors(folder / "grads_step1.safetensors")
    pairs = {
        name: (parameter.grad, expected[name])
        for name, parameter in trainer.model.named_parameters()
        if parameter.requires_grad
    }
    if rounded:
        actual, recorded = (torch.cat([pair[i].flatten() for pair in pairs.values()]) for i in (0, 1))
        report.at_most("all gradients, rel L2", relative_l2(actual, recorded), 0.1)
        return
    errors = {name: relative_l2(*pair) for name, pair in pairs.items() if pair[1].norm() > 1e-6}
    worst = max(errors, key=lambda name: errors[name])
    report.at_most(f"{len(errors)} gradients, worst rel L2 ({worst})", errors[worst], 1e-4)


def check_parameters(report: Report, what: str, errors: List[Tensor]) -> None:
    """Adam normalises gradients that are only rounding noise, so a few elements may differ."""
    error = torch.cat(errors)
    over = (error > 1e-5).double().mean().item()
    report.at_most(f"{what}, share of elements off by more than 1e-5", over, 1e-3)
    report.at_most(f"{what}, max abs", error.max().item(), 1e-3)


def check_loss(report: Report, folder: Path) -> None:
    """The loss of a given network output, t = 0 included, which the training fixtures leave out."""
    case = read_safetensors(folder / "diffusion" / "steps_and_losses.safetensors")
    loss = GaussianDiffusion().loss(
        lambda x_t, t, y: case["net_out8"], case["x_start"], case["t"], None, case["noise"]
    )
    error = (loss / case["linear.loss"] - 1).abs().max().item()
    report.at_most(f"loss at t = {case['t'].tolist()}, worst relative", error, 1e-5)


CHECKS = {"forward": check_forward, "sample": check_sampling, "train": check_training}


def check(folder: Path, family: str, tasks: List[str], mode: str) -> Report:
    report = Report()
    for task in tasks:
        CHECKS[task](report, folder, family, mode)
    return report
