"""Scores of pictures by packages of PyTorch, whose Inception has given weights; prints them as JSON, by package.

usage: scores_in_pytorch.py WEIGHTS.safetensors REFERENCE SAMPLES
"""

import json
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

import torch

repository = Path(__file__).parents[2]
sys.path.insert(0, str(repository / "bench" / "peer"))
from fixtures import read_safetensors  # noqa: E402

SPLITS = 10
CPU = torch.device("cpu")


def of_torch_fidelity(weights, reference, samples):
    """Its kernel distance is of subsets; one with all pictures leaves nothing to chance."""
    import torch_fidelity

    count = len(list(Path(samples).glob("*.png")))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "inception.pth"
        torch.save(weights, path)
        return torch_fidelity.calculate_metrics(
            input1=samples,
            input2=reference,
            feature_extractor="inception-v3-compat",
            feature_extractor_weights_path=str(path),
            fid=True,
            isc=True,
            kid=True,
            prc=True,
            isc_splits=SPLITS,
            samples_shuffle=False,
            kid_subsets=1,
            kid_subset_size=count,
            cuda=False,
            cache=False,
            verbose=False,
            batch_size=16,
        )


def of_clean_fid(weights, reference, samples):
    """In the mode that is pytorch-fid, resizing and network; the network of its own mode is a file of another form."""
    from cleanfid import fid, inception_pytorch

    inception_pytorch.load_state_dict_from_url = lambda *_, **__: weights
    mode = "legacy_pytorch"
    network = fid.build_feature_extractor(mode, CPU, use_dataparallel=False)
    options = dict(num_workers=0, batch_size=16, device=CPU, mode=mode, verbose=False)
    real, drawn = (fid.get_folder_features(folder, network, **options) for folder in (reference, samples))
    return {
        "fid": fid.fid_from_feats(real, drawn),
        "kid": fid.kernel_distance(real, drawn, num_subsets=1, max_subset_size=len(drawn)),
    }


PACKAGES = {"torch-fidelity": of_torch_fidelity, "clean-fid": of_clean_fid}


def main():
    path, reference, samples = sys.argv[1:]
    weights = read_safetensors(Path(path))
    torch.set_num_threads(1)
    scores = {}
    for name, score in PACKAGES.items():
        measured = score(weights, reference, samples)
        scores[name] = {"version": version(name), **{key: float(value) for key, value in measured.items()}}
    print(json.dumps(scores))


main()
