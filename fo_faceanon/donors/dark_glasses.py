"""Donors behind dark glasses: the attribute network misses some, but the skin under their eyes is far darker than the cheeks."""

from __future__ import annotations

import numpy as np

#: The lower lids, and the cheeks as mixtures of jaw points and the nose tip.
_LIDS, _CHEEKS, _NOSE = [40, 41, 46, 47], [1, 2, 3, 13, 14, 15], 30
#: Darkness from which eyes are covered whatever the network says, and from which they are where it is in doubt.
_SURE, _LIKELY = 0.46, 0.75
#: The network's probability of sunglasses that counts as doubt.
_DOUBT = 0.15


def lid_brightness(picture: np.ndarray, landmarks: np.ndarray) -> float:
    """Median grey value just under the eyes over that of the cheeks; about 0.9 on bare faces, below 0.5 behind dark glasses.

    Args:
        picture: ``H x W x 3`` uint8.
        landmarks: ``68 x 2`` pixel positions.
    """
    grey = picture.mean(2)
    size = float(np.ptp(landmarks, axis=0).max())
    lids = landmarks[_LIDS] + [0.0, 0.04 * size]
    cheeks = 0.35 * landmarks[_CHEEKS] + 0.65 * landmarks[_NOSE]
    return max(_median(grey, lids, 0.015 * size), 1.0) / max(_median(grey, cheeks, 0.02 * size), 1.0)


def behind_dark_glasses(picture: np.ndarray, landmarks: np.ndarray, probability: float) -> bool:
    """Whether the eyes cannot be seen; ``probability`` of sunglasses is the attribute network's."""
    brightness = lid_brightness(picture, landmarks)
    return brightness < _SURE or (probability > _DOUBT and brightness < _LIKELY)


def _median(grey: np.ndarray, points: np.ndarray, radius: float) -> float:
    reach = max(round(radius), 1)
    offsets = np.stack(np.meshgrid(*[np.arange(-reach, reach + 1)] * 2), -1).reshape(-1, 1, 2)
    positions = np.clip(np.rint(points + offsets).astype(int), 0, np.array(grey.shape[::-1]) - 1)
    return float(np.median(grey[positions[..., 1], positions[..., 0]]))
