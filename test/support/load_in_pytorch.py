"""Loads a model that udit wrote into the PyTorch peer by its own names, runs it and saves both again.

usage: load_in_pytorch.py MODEL.safetensors INPUTS.safetensors FOLDER
"""

import json
import struct
import sys
from pathlib import Path

import torch

repository = Path(__file__).parents[2]
sys.path.insert(0, str(repository / "bench" / "peer"))
from network import UDiT, UDiTConfig  # noqa: E402

DTYPES = {"F32": torch.float32, "F16": torch.float16, "I64": torch.int64}


def read_safetensors(path):
    data = bytearray(Path(path).read_bytes())
    (header_bytes,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8 : 8 + header_bytes].decode())
    metadata = header.pop("__metadata__")
    values = data[8 + header_bytes :]
    tensors = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        flat = torch.frombuffer(values[begin:end], dtype=DTYPES[entry["dtype"]])
        tensors[name] = flat.reshape(entry["shape"])
    return tensors, metadata


weights, metadata = read_safetensors(sys.argv[1])
inputs, _ = read_safetensors(sys.argv[2])
folder = Path(sys.argv[3])
config = json.loads(metadata["spec"])["config"]
model = UDiT(
    UDiTConfig(
        hidden=config["width"],
        heads=config["heads"],
        depth=tuple(config["depth"]),
        classes=config["numClasses"],
        label_dropout=0.0,
    )
)
model.load_state_dict(weights, strict=True)
with torch.no_grad():
    out = model.eval()(inputs["x"], inputs["t"], inputs["y"])
torch.save({"model": model.state_dict(), "out": out}, folder / "zip.pt")
torch.save(model.state_dict(), folder / "legacy.pt", _use_new_zipfile_serialization=False)
print(json.dumps({"torch": torch.__version__, "metadata": metadata, "dtype": str(next(iter(weights.values())).dtype)}))
