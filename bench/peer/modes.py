"""The ways to run a network that a PyTorch user has; each computes the same, to its precision.

    eager          as published
    tuned          known slow paths replaced: fused attention, channels last, 1x1 depthwise as products
    compile        tuned, through torch.compile; in inference with weights as constants
    bf16           tuned, under bfloat16 autocast
    compile-bf16   both
    openvino       tuned, converted to OpenVINO, float32
    openvino-bf16  the same, computing in bfloat16
"""

import contextlib
import importlib.util
import os
import shutil
from typing import Any, Callable, ContextManager, Dict, List, Tuple, Union

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from network import avoid_slow_depthwise, merge_for_evaluation

ForInference = Callable[..., Any]  # x, and t, y of a denoiser -> the network's output or outputs


def devices_of_modes() -> Dict[str, List[str]]:
    """Which modes there are, by device."""
    modes = available_modes()
    if not torch.cuda.is_available():
        return {"cpu": modes}
    return {"cpu": modes, "cuda": [mode for mode in modes if not mode.startswith("openvino")]}


def available_modes() -> List[str]:
    modes = ["eager", "tuned"]
    can_compile = hasattr(torch, "compile") and shutil.which(os.environ.get("CXX", "g++"))
    modes += ["compile"] if can_compile else []
    modes += ["bf16"]
    modes += ["compile-bf16"] if can_compile else []
    has_openvino = importlib.util.find_spec("openvino") is not None
    return modes + (["openvino", "openvino-bf16"] if has_openvino else [])


def precision_of(mode: str, device: str) -> Callable[[], ContextManager]:
    if not mode.endswith("bf16"):
        return contextlib.nullcontext
    return lambda: torch.autocast(device, dtype=torch.bfloat16)


def fuse_attention(model: nn.Module) -> None:
    if not hasattr(F, "scaled_dot_product_attention"):  # before PyTorch 2.0
        return
    for module in model.modules():
        if hasattr(module, "fused"):
            module.fused = True


def for_inference(model: nn.Module, mode: str, example: List[Tensor]) -> ForInference:
    """The network in its evaluation form, in a mode, where it is; the model itself is used up."""
    merge_for_evaluation(model)
    if mode == "eager":
        return torch.inference_mode()(model)
    fuse_attention(model)
    if mode.startswith("openvino"):
        return through_openvino(model, mode, example)
    model.to(memory_format=torch.channels_last)
    is_compiled = mode.startswith("compile")
    network = compiled_for_inference(model) if is_compiled else model
    precision = precision_of(mode, example[0].device.type)

    def run(x: Tensor, *others: Tensor) -> Union[Tensor, Tuple[Tensor, ...]]:
        with torch.no_grad() if is_compiled else torch.inference_mode(), precision():
            return in_float32(network(x.contiguous(memory_format=torch.channels_last), *others))

    return run


def in_float32(out: Union[Tensor, Tuple[Tensor, ...]]) -> Union[Tensor, Tuple[Tensor, ...]]:
    return out.float() if torch.is_tensor(out) else tuple(each.float() for each in out)


def compiled_for_inference(model: nn.Module) -> nn.Module:
    import torch._inductor.config as inductor

    inductor.freezing = True  # weights are constants, packed for the processor
    return torch.compile(model)


def through_openvino(model: nn.Module, mode: str, example: List[Tensor]) -> ForInference:
    import openvino

    with torch.no_grad():
        model(*example)  # it keeps its rotary factors: what is traced must find them there
        converted = openvino.convert_model(model, example_input=tuple(example))
    settings = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "INFERENCE_PRECISION_HINT": "bf16" if mode.endswith("bf16") else "f32",
    }
    request = openvino.Core().compile_model(converted, "CPU", settings).create_infer_request()

    def run(*inputs: Tensor) -> Union[Tensor, Tuple[Tensor, ...]]:
        outputs = request.infer([each.numpy() for each in inputs])
        values = tuple(torch.from_numpy(outputs[i].copy()) for i in range(len(outputs)))
        return values if len(values) > 1 else values[0]

    return run


def for_training(model: nn.Module, mode: str) -> nn.Module:
    """The same parameters under the same names, in the form that a mode trains."""
    if mode == "eager":
        return model
    fuse_attention(model)
    return avoid_slow_depthwise(model).to(memory_format=torch.channels_last)


def compiler_of(mode: str) -> Callable[[nn.Module], nn.Module]:
    return torch.compile if mode.startswith("compile") else lambda model: model
