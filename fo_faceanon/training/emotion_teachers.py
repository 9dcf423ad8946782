"""What other expression networks say of the faces that ``emotion_data`` cut: probabilities, and MediaPipe's blendshapes.

Run by hand::

    python -m fo_faceanon.training.emotion_teachers FACES --teachers FOLDER

``FOLDER`` holds those of these files that are wanted (the packages that carry them are named in ``data/emotion.md``): ``pyfeat.h5``,
``fer.h5``, ``facemood.h5`` (Keras; reading them needs ``h5py``) and ``faceplugin.onnx``. The networks ``expression`` (face-api.js) and
``face-landmarker`` are this package's registered weights. No code of those packages runs. Writes ``FACES/<set>.teachers.npz``: ``N x 7``
probabilities in the order of ``EMOTIONS`` per teacher, and ``blendshapes`` ``N x 52``.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import roi_align

from fo_faceanon.errors import WeightsError
from fo_faceanon.networks.emotion import EMOTIONS

#: A function of ``B x 3 x S x S`` crops in ``[0, 1]`` and their ``B x 68 x 2`` landmarks that returns ``B x 7`` probabilities.
Teacher = Callable[[Tensor, Tensor], Tensor]
#: FER2013's classes in the order of its labels, which most teachers keep.
FER2013 = ("angry", "disgusted", "fearful", "happy", "sad", "surprised", "neutral")
_TO_OURS = [FER2013.index(name) for name in EMOTIONS]
_BATCH = 64


def squares(crops: Tensor, landmarks: Tensor, factor: float, size: int) -> Tensor:
    """``B x C x size x size``: the square that dlib's detector would frame, ``factor`` times as large.

    It is centred a tenth of the landmarks' extent above their centre and 1.058 times as large (mean over 80 photographs).
    """
    low, high = landmarks.amin(1), landmarks.amax(1)
    extent = (high - low).amax(1, keepdim=True)
    centre = (low + high) / 2 - extent * landmarks.new_tensor([0.0, 0.1])
    boxes = torch.cat([centre - extent * (1.058 * factor / 2), centre + extent * (1.058 * factor / 2)], 1) + 0.5
    index = torch.arange(len(crops), dtype=crops.dtype, device=crops.device)[:, None]
    return roi_align(crops, torch.cat([index, boxes], 1), size, aligned=True)


def luma(crops: Tensor) -> Tensor:
    """``B x 1 x H x W``, Rec. 601."""
    return torch.einsum("bchw,c->bhw", crops, crops.new_tensor((0.299, 0.587, 0.114)))[:, None]


def _padded(x: Tensor, kernel: tuple[int, ...], stride: tuple[int, ...], value: float = 0.0) -> Tensor:
    """TensorFlow's ``same`` padding."""
    pads: list[int] = []
    for size, k, s in zip(x.shape[:1:-1], kernel[::-1], stride[::-1], strict=True):
        total = max((-(-size // s) - 1) * s + k - size, 0)
        pads += [total // 2, total - total // 2]
    return F.pad(x, pads, value=value)


class KerasNetwork(nn.Module):
    """A small Keras convolutional classifier, run from its file's configuration and weights.

    Args:
        path: an HDF5 file as ``keras.Model.save`` writes it.

    Raises:
        WeightsError: the file has no configuration, or a layer that is not known here.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        import h5py

        with h5py.File(path) as file:
            text = file.attrs.get("model_config")
            if text is None:
                raise WeightsError(f"{path} holds no Keras model; fetch the file again")
            config = json.loads(text)["config"]
            self.layers: list[dict[str, Any]] = config["layers"] if isinstance(config, dict) else config
            self.weights = {
                layer["config"]["name"]: _layer_weights(file["model_weights"], layer["config"]["name"]) for layer in self.layers
            }

    def forward(self, x: Tensor) -> Tensor:
        """``B x C x H x W`` to ``B x classes``."""
        values: dict[str, Tensor] = {}
        last = x
        for layer in self.layers:
            name = layer["config"]["name"]
            inbound = [node[0] for node in layer["inbound_nodes"][0]] if layer.get("inbound_nodes") else []
            inputs = [values[source] for source in inbound] or [last]
            last = values[name] = self._run(layer["class_name"], layer["config"], inputs, self.weights[name])
        return last

    def _run(self, kind: str, config: dict[str, Any], inputs: list[Tensor], weights: dict[str, Tensor]) -> Tensor:
        x = inputs[0]
        if kind in {"InputLayer", "Dropout"}:
            return x
        if kind in {"Conv2D", "SeparableConv2D"}:
            return _activated(_convolved(x, config, weights), config["activation"])
        if kind == "BatchNormalization":
            mean, variance = weights["moving_mean"], weights["moving_variance"]
            return F.batch_norm(x, mean, variance, weights.get("gamma"), weights.get("beta"), eps=config["epsilon"])
        if kind == "MaxPooling2D":
            size, stride = tuple(config["pool_size"]), tuple(config["strides"])
            return F.max_pool2d(_padded(x, size, stride, -torch.inf) if config["padding"] == "same" else x, size, stride)
        if kind == "Dense":
            return _activated(x @ weights["kernel"] + weights["bias"], config["activation"])
        if kind == "Flatten":
            return x.permute(0, 2, 3, 1).flatten(1)  # channels last, as its dense layer expects
        simple = {"Activation": lambda: _activated(x, config["activation"]), "Add": lambda: inputs[0] + inputs[1]}
        simple["GlobalAveragePooling2D"] = lambda: x.mean((2, 3))
        if kind not in simple:
            raise WeightsError(f"the Keras layer {kind} is not known here; leave this teacher out")
        return simple[kind]()


def _layer_weights(group: Any, name: str) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    if name in group:
        put = lambda key, item: found.update({key.split("/")[-1].split(":")[0]: torch.from_numpy(item[()])})  # noqa: E731
        group[name].visititems(lambda key, item: put(key, item) if hasattr(item, "shape") else None)
    return found


def _convolved(x: Tensor, config: dict[str, Any], weights: dict[str, Tensor]) -> Tensor:
    stride = tuple(config["strides"])
    x = _padded(x, tuple(config["kernel_size"]), stride) if config["padding"] == "same" else x
    if "depthwise_kernel" in weights:
        depth = weights["depthwise_kernel"].permute(2, 3, 0, 1)
        x = F.conv2d(x, depth, stride=stride, groups=depth.shape[0])
        return F.conv2d(x, weights["pointwise_kernel"].permute(3, 2, 0, 1), weights.get("bias"))
    return F.conv2d(x, weights["kernel"].permute(3, 2, 0, 1), weights.get("bias"), stride)


def _activated(x: Tensor, name: str) -> Tensor:
    functions: dict[str, Callable[[Tensor], Tensor]] = {
        "linear": lambda v: v,
        "softmax": lambda v: v.softmax(1),
        "relu": F.relu,
        "elu": F.elu,
    }
    return functions[name](x)


def _keras_teacher(path: Path, size: int, factor: float, grey: bool, centred: bool) -> Teacher:
    net = KerasNetwork(path)

    def teach(crops: Tensor, landmarks: Tensor) -> Tensor:
        chips = squares(crops, landmarks, factor, size)
        chips = luma(chips) if grey else chips
        return net(chips * 2 - 1 if centred else chips)[:, _TO_OURS]

    return teach


def _onnx_teacher(path: Path) -> Teacher:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name

    def teach(crops: Tensor, landmarks: Tensor) -> Tensor:
        chips = squares(crops, landmarks, 1.2, 224).numpy()
        raw = torch.from_numpy(np.concatenate([session.run(None, {name: chip[None]})[0] for chip in chips]))
        return raw.softmax(1)[:, _TO_OURS]

    return teach


def load_teachers(folder: Path) -> dict[str, Teacher]:
    """The teachers whose files are there, by name; face-api's always.

    Raises:
        WeightsError: face-api's weights are missing, or a file cannot be read.
    """
    from fo_faceanon.networks.face_api_expression import expression_chips, load_expression
    from fo_faceanon.weights import require_weight

    face_api = load_expression(require_weight("expression", "face_expression_model.bin").parent)
    teachers: dict[str, Teacher] = {"face_api": lambda crops, landmarks: face_api(expression_chips(crops, landmarks))}
    keras = {"pyfeat": (48, 1.1, True, False), "fer": (64, 1.2, True, True), "facemood": (170, 1.2, False, False)}
    for name, arguments in keras.items():
        if (folder / f"{name}.h5").exists():
            teachers[name] = _keras_teacher(folder / f"{name}.h5", *arguments)
    if (folder / "faceplugin.onnx").exists():
        teachers["faceplugin"] = _onnx_teacher(folder / "faceplugin.onnx")
    return teachers


def blendshapes_of(crops: Tensor, landmarks: Tensor) -> Tensor:
    """``B x 52`` of ``B x 3 x S x S`` crops; NaN where the face landmarker sees no face."""
    from fo_faceanon.landmarks.mesh478 import PRESENCE, Mesh478

    net = Mesh478()
    boxes = torch.cat([landmarks.amin(1), landmarks.amax(1)], 1)
    _, presence, shapes = net.mark_windows(crops, landmarks, boxes)
    return torch.where(presence[:, None] >= PRESENCE, shapes, torch.nan)


@torch.inference_mode()
def taught(teacher: Teacher, crops: np.ndarray, points: np.ndarray) -> np.ndarray:
    """``N x 7`` float32 of ``N x S x S x 3`` uint8 crops, batch by batch."""
    out = []
    for start in range(0, len(crops), _BATCH):
        some = torch.from_numpy(crops[start : start + _BATCH]).permute(0, 3, 1, 2).float() / 255
        out.append(teacher(some, torch.from_numpy(points[start : start + _BATCH]).float()))
    return torch.cat(out).numpy()


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("faces", type=Path)
    parser.add_argument("--teachers", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", nargs="*", help="names of teachers to ask; all by default")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    teachers = load_teachers(args.teachers) | {"blendshapes": blendshapes_of}
    wanted = args.only or list(teachers)
    for path in sorted(p for p in args.faces.glob("*.npz") if not p.name.endswith(".teachers.npz")):
        target = path.with_suffix(".teachers.npz")
        columns = dict(np.load(target)) if target.exists() else {}
        missing = [name for name in wanted if name not in columns]
        if missing:
            with np.load(path) as file:
                crops, points = file["crops"], file["points"]
            columns |= {name: taught(teachers[name], crops, points) for name in missing}
            np.savez(target, **columns)
            print(path.stem, len(points), *missing, flush=True)


if __name__ == "__main__":
    main()
