"""Verification thresholds, calibrated by us.

Calibrated on 20 November 2026 with ``benchmarks/calibrate_recognisers.py`` on 725 photographs of 211 people of LFW (half A
by a hash of the name: all 262,450 pairs), landmarks by MTCNN and dlib. On the other 682 photographs of 189 people (1,245
same-person pairs, 230,976 others) they give false-accept rates of 1.0e-3 to 1.2e-3, and of 9.6e-3 to 1.2e-2; the true-accept
rates behind each entry are from there.

dlib's descriptors all lie in one narrow cone: strangers have a cosine of .834 on average, so its cosines must not be compared
with those of others. Normalized cosine was kept because it beats Euclidean distance of the descriptors as dlib gives them
(TAR .894 at FAR 1e-3) and cosine about their mean (.830).
"""

from __future__ import annotations

#: Cosine above which two faces count as the same person, by recogniser: at a false-accept rate of 1e-3, and of 1e-2.
THRESHOLDS: dict[str, tuple[float, float]] = {
    "dlib": (0.9266, 0.9073),  # TAR .924, .980
    "facenet-vggface2": (0.5656, 0.4259),  # .965, .998
    "facenet-casia": (0.5041, 0.3929),  # .943, .988
    "arcface-w600k-mbf": (0.2327, 0.1681),  # .989, .990
    "edgeface-s": (0.3396, 0.2611),  # .985, .991
    "mobilefacenet": (0.3412, 0.2500),  # .970, .987
}
