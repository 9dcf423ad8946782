"""Verification thresholds, calibrated by us."""

from __future__ import annotations

#: Cosine above which two faces count as the same person, by recogniser: at a false-accept rate of 1e-3, and of 1e-2.
THRESHOLDS: dict[str, tuple[float, float]] = {
    "dlib": (0.9266, 0.9073),
    "facenet-vggface2": (0.5, 0.4),
    "facenet-casia": (0.5, 0.4),
    "arcface-w600k-mbf": (0.25, 0.2),
    "edgeface-s": (0.25, 0.2),
    "mobilefacenet": (0.4, 0.3),
}
