"""Rendering faces of nobody with a public generator (MobileStyleGAN, FFHQ; Belousov 2021), as it is published: an OpenVINO graph.

Only the generator's last wavelet band but one is computed, which is the picture at 512 px: donors are stored at 256 px.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np

from fo_faceanon.donors.bank import SIDE
from fo_faceanon.errors import WeightsError
from fo_faceanon.weights import require_weight

#: The part of the 512 px picture that is kept: the head, without most of the background.
_ROWS, _COLUMNS = slice(118, 510), slice(60, 452)
#: Range of the truncation: lower is more typical, higher more diverse (Karras et al. 2019, section B).
TRUNCATION = (0.7, 1.0)
_NAME = "mobilestylegan-ffhq"


class Generator:
    """Latents to pictures, on the CPU, two at a time or as many as there are cores.

    Args:
        whole: keep the whole 512 px frame instead of the 256 px head.

    Raises:
        WeightsError: OpenVINO or the generator's weights are missing.
    """

    def __init__(self, whole: bool = False) -> None:
        self._finish = _frame if whole else _head
        try:
            import openvino
        except ImportError:
            raise WeightsError('rendering donors needs OpenVINO: pip install "fo-faceanon[bank]"') from None
        mapping, synthesis = (require_weight(_NAME, f"{part}Network.xml") for part in ("Mapping", "Synthesis"))
        for part in ("Mapping", "Synthesis"):
            require_weight(_NAME, f"{part}Network.bin")
        core = openvino.Core()
        precise = {"INFERENCE_PRECISION_HINT": "f32"}
        self._mapping = core.compile_model(core.read_model(mapping), "CPU", precise)
        half = _half_size(openvino, core.read_model(synthesis))
        self._synthesis = core.compile_model(half, "CPU", {**precise, "PERFORMANCE_HINT": "THROUGHPUT"})
        self._queue_type = openvino.AsyncInferQueue
        self._streams = max(int(self._synthesis.get_property("NUM_STREAMS")), 1)
        self.mean = np.mean([self._map(np.random.default_rng(10**6 + i)) for i in range(4000)], 0)

    def _map(self, random: np.random.Generator) -> np.ndarray:
        return self._mapping(random.standard_normal((1, 512)).astype(np.float32))[0][0]

    def latent(self, seed: int) -> np.ndarray:
        """The 512 numbers of one random person."""
        random = np.random.default_rng(seed)
        mapped = self._map(random)
        return self.mean + random.uniform(*TRUNCATION) * (mapped - self.mean)

    def render(self, latents: np.ndarray) -> Iterator[np.ndarray]:
        """``256 x 256 x 3`` (or ``512 x 512 x 3``) uint8 pictures of ``N x 512`` latents, in order."""
        done: dict[int, np.ndarray] = {}
        queue = self._queue_type(self._synthesis, self._streams)
        queue.set_callback(lambda request, number: done.__setitem__(number, self._finish(request.get_output_tensor().data)))
        following = 0
        for number, latent in enumerate(latents):
            queue.start_async({0: latent[None].astype(np.float32)}, number)
            while following in done:
                yield done.pop(following)
                following += 1
        queue.wait_all()
        for number in range(following, len(latents)):
            yield done.pop(number)


def _half_size(openvino: Any, model: Any) -> Any:
    """The graph cut before the last inverse wavelet transform: its first three channels are the picture at half size."""
    last = [node for node in model.get_ordered_ops() if node.get_type_name() == "Convolution"][-1]
    biased = next(iter(last.output(0).get_target_inputs())).get_node()
    node = biased if biased.get_type_name() == "Add" else last
    return openvino.Model([node.output(0)], model.get_parameters(), "half_size")


def _frame(bands: np.ndarray) -> np.ndarray:
    low = bands[0, :3]  # of an orthonormal Haar transform: twice the mean of 2 x 2 pixels in [-1, 1]
    return np.rint(np.clip(low * 63.75 + 127.5, 0, 255)).astype(np.uint8).transpose(1, 2, 0)


def _head(bands: np.ndarray) -> np.ndarray:
    return cv2.resize(_frame(bands)[_ROWS, _COLUMNS], (SIDE, SIDE), interpolation=cv2.INTER_AREA)
