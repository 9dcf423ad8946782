"""Figures that were published: Celona et al. 2025, Tables II to VI (CelebA-HQ; their test split and their meters, not ours).

Means only; the paper also gives standard deviations. Its expression and detection rates are percentages. "MSE-L" and "MSE-ab" of its
Table V look like mean absolute errors with lightness from 0 to 1, so they are not set beside ours.
"""

from __future__ import annotations

#: Table II: FID (Inception), FID (CLIP), face detection, cosine VGGFace2, cosine CASIA, pose (68 landmarks), seconds an image.
COMMON = {
    "AIDPro (2025)": (26.63, 14.48, 98.79, 0.1532, 0.2140, 0.0500, 0.02),
    "AnonyGAN (2022)": (60.23, 19.34, 96.79, 0.3892, 0.3768, 0.0339, 0.10),
    "CIAGAN (2020)": (1.78, 34.00, 95.25, 0.1796, 0.2172, 0.0791, 0.08),
    "DeepPrivacy (2019)": (32.50, 21.10, 97.24, 0.1917, 0.2170, 0.0520, 0.12),
    "DeepPrivacy2 (2022)": (15.08, 11.69, 95.84, 0.1738, 0.2063, 0.0946, 0.28),
    "FALCO (2023)": (26.59, 14.46, 99.74, 0.4822, 0.4996, 0.0598, 0.09),
    "G2Face (2024)": (16.32, 5.77, 98.38, 0.1430, 0.1916, 0.0276, 0.03),
    "RiDDLE (2023)": (52.79, 33.63, 99.86, 0.0326, 0.0941, 0.0446, 0.03),
    "Celona et al. (2025)": (10.54, 8.27, 98.04, 0.2125, 0.2184, 0.0334, 0.12),
}

#: Table III: landmark error (51 landmarks), expression accuracy.
EXPRESSION = {
    "AIDPro (2025)": (0.0510, 63.91),
    "AnonyGAN (2022)": (0.0321, 73.11),
    "CIAGAN (2020)": (0.0801, 56.55),
    "DeepPrivacy (2019)": (0.0513, 53.29),
    "DeepPrivacy2 (2022)": (0.0973, 51.23),
    "FALCO (2023)": (0.0598, 59.43),
    "G2Face (2024)": (0.0252, 72.00),
    "RiDDLE (2023)": (0.0446, 67.66),
    "Celona et al. (2025)": (0.0318, 75.00),
}

#: Table IV: Si-MSE, Si-L2.
LIGHTING = {
    "AIDPro (2025)": (0.0314, 0.0131),
    "AnonyGAN (2022)": (0.0359, 0.0146),
    "CIAGAN (2020)": (0.0792, 0.0185),
    "DeepPrivacy (2019)": (0.0549, 0.0163),
    "DeepPrivacy2 (2022)": (0.0838, 0.0211),
    "FALCO (2023)": (0.0654, 0.0163),
    "G2Face (2024)": (0.0179, 0.0110),
    "RiDDLE (2023)": (0.0531, 0.0185),
    "Celona et al. (2025)": (0.0137, 0.0100),
}

#: Table V: CIEDE2000 on the albedo of SfSNet.
COLOUR = {
    "AIDPro (2025)": (10.30,),
    "AnonyGAN (2022)": (9.03,),
    "CIAGAN (2020)": (17.26,),
    "DeepPrivacy (2019)": (12.27,),
    "DeepPrivacy2 (2022)": (16.73,),
    "FALCO (2023)": (13.08,),
    "G2Face (2024)": (7.83,),
    "RiDDLE (2023)": (14.13,),
    "Celona et al. (2025)": (8.93,),
}

#: Table VI, by (68 landmarks, relighting, Laplacian pyramid): FID, FID (CLIP), detection, VGGFace2, CASIA, pose, expression, Si-MSE, dE.
ABLATION = {
    ("no", "none", "no"): (32.50, 21.10, 97.24, 0.1917, 0.2170, 0.0520, 53.29, 0.0549, 12.27),
    ("yes", "none", "no"): (9.85, 7.20, 99.35, 0.2193, 0.2237, 0.0360, 72.40, 0.0430, 9.74),
    ("yes", "SfSNet", "yes"): (30.21, 17.52, 95.33, 0.4641, 0.4671, 0.0339, 74.62, 0.0363, 10.71),
    ("yes", "intrinsic", "no"): (7.50, 6.02, 98.94, 0.2331, 0.2366, 0.0392, 74.77, 0.0208, 9.36),
    ("yes", "intrinsic", "yes"): (10.54, 8.27, 98.04, 0.2125, 0.2184, 0.0334, 75.00, 0.0137, 8.93),
}
