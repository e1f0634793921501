"""Compares the peer with reference fixtures, so that a benchmark ratio compares equal work."""

import json
import struct
from pathlib import Path
from typing import Callable, Dict, List

import torch
from torch import Tensor

from network import UDiT, UDiTConfig, avoid_slow_depthwise, merge_for_evaluation
from training import GaussianDiffusion, Trainer

DTYPES = {"F32": torch.float32, "F64": torch.float64, "I64": torch.int64, "U8": torch.uint8}
UDIT_S_PARAMETERS = 58_896_568  # trainable, un-merged


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
    """Prints one line for each comparison, and remembers whether any failed."""

    def __init__(self) -> None:
        self.failures = 0

    def at_most(self, what: str, value: float, limit: float) -> None:
        passed = value <= limit  # false for NaN
        self.failures += not passed
        print(f"{'ok  ' if passed else 'FAIL'} {what}: {value:.3g} (limit {limit:g})")


def model_from(config: dict, weights: Dict[str, Tensor]) -> UDiT:
    """The fixture's network, without label dropout; the weights' names must be the model's."""
    model = UDiT(
        UDiTConfig(
            hidden=config["hidden_size"],
            heads=config["num_heads"],
            depth=tuple(config["depth"]),
            classes=config["num_classes"],
            label_dropout=0.0,
        )
    )
    model.load_state_dict(weights)
    return model


def as_published(model: UDiT) -> UDiT:
    return model


def check_forward(report: Report, folder: Path) -> None:
    config = json.loads((folder / "base16.json").read_text())["config"]
    case = read_safetensors(folder / "base16.safetensors")
    model = model_from(config, read_safetensors(folder / "base16.weights.safetensors")).eval()
    for form, prepare in (("training form", as_published), ("merged", merge_for_evaluation)):
        with torch.no_grad():
            out = prepare(model)(case["x"], case["t"], case["y"])
        report.at_most(f"forward, {form}, rel L2", relative_l2(out, case["out"]), 2e-5)
        worst = (out - case["out"]).abs().max().item()
        report.at_most(f"forward, {form}, max abs", worst, 1e-4)


def check_training(report: Report, folder: Path, prepare: Callable[[UDiT], UDiT]) -> None:
    expected = json.loads((folder / "expected.json").read_text())
    batches = read_safetensors(folder / "batches.safetensors")
    model = model_from(expected["config"], read_safetensors(folder / "init.safetensors"))
    trainer = Trainer(prepare(model), expected["ema_decay"])
    for step, loss in enumerate(expected["losses"]):
        actual = trainer.step_at(*(batches[name][step] for name in ("x", "t", "y", "noise")))
        report.at_most(f"loss of step {step + 1}, relative", abs(actual / loss - 1), 1e-4)
        if step == 0:
            check_gradients(report, trainer, read_safetensors(folder / "grads_step1.safetensors"))
    for name, model in (("params", trainer.model), ("ema", trainer.ema)):
        stored = read_safetensors(folder / f"{name}_step5.safetensors")
        errors = [(p - stored[key]).abs().flatten() for key, p in model.named_parameters()]
        check_parameters(report, f"{name} after 5 steps", errors)


def check_loss(report: Report, folder: Path) -> None:
    """The loss of a given network output, t = 0 included, which the training fixtures leave out."""
    case = read_safetensors(folder / "steps_and_losses.safetensors")
    loss = GaussianDiffusion().loss(
        lambda x_t, t, y: case["net_out8"], case["x_start"], case["t"], None, case["noise"]
    )
    error = (loss / case["linear.loss"] - 1).abs().max().item()
    report.at_most(f"loss at t = {case['t'].tolist()}, worst relative", error, 1e-5)


def check_gradients(report: Report, trainer: Trainer, expected: Dict[str, Tensor]) -> None:
    errors = {
        name: relative_l2(parameter.grad, expected[name])
        for name, parameter in trainer.model.named_parameters()
        if expected[name].norm() > 1e-6
    }
    worst = max(errors, key=lambda name: errors[name])
    report.at_most(f"{len(errors)} gradients, worst rel L2 ({worst})", errors[worst], 1e-4)


def check_parameters(report: Report, what: str, errors: List[Tensor]) -> None:
    """Adam normalises gradients that are only rounding noise, so a few elements may differ."""
    error = torch.cat(errors)
    over = (error > 1e-5).double().mean().item()
    report.at_most(f"{what}, share of elements off by more than 1e-5", over, 1e-3)
    report.at_most(f"{what}, max abs", error.max().item(), 1e-3)


def check_size(report: Report) -> None:
    count = sum(p.numel() for p in UDiT(UDiTConfig()).parameters())
    difference = abs(count - UDIT_S_PARAMETERS)
    report.at_most(f"U-DiT-S has {count:,} parameters, difference", difference, 0)


def check(folder: Path) -> int:
    """Exit code: 0 when everything agrees with the fixtures below the folder, 1 when not."""
    report = Report()
    check_size(report)
    check_forward(report, folder / "models" / "udit")
    check_loss(report, folder / "diffusion")
    for prepare in (as_published, avoid_slow_depthwise):
        print(f"training, {prepare.__name__}:")
        check_training(report, folder / "training" / "udit_nodrop", prepare)
    return 1 if report.failures else 0
