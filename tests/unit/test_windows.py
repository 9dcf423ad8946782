"""Cutting windows out of images and pasting them back."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fo_faceanon.faces import Face
from fo_faceanon.windows import Window, cut_windows, paste_window

IMAGE = np.random.default_rng(1).integers(0, 256, (90, 120, 3), dtype=np.uint8)


@pytest.mark.parametrize("origin", [(10, 20), (0, 0), (56, 26), (-30, 50), (100, -40), (-200, 200)])
def test_a_window_is_the_image_with_its_edges_repeated(origin: tuple[int, int]) -> None:
    window = Window(origin, 64, 64)
    batch = cut_windows([IMAGE], [Face((20, 20, 60, 60))], [window], [0], [None], "cpu")
    padded = np.pad(IMAGE, ((300, 300), (300, 300), (0, 0)), mode="edge")
    expected = padded[origin[1] + 300 :, origin[0] + 300 :][:64, :64]
    assert np.array_equal((batch.pixels[0].permute(1, 2, 0) * 255).round().byte().numpy(), expected)


@pytest.mark.parametrize("origin", [(10, 20), (-30, 50), (100, -40), (-200, 200)])
def test_pasting_blends_and_leaves_what_alpha_excludes(origin: tuple[int, int]) -> None:
    pixels, alpha = torch.rand(3, 64, 64), torch.rand(1, 64, 64)
    alpha[:, 20:40] = 0
    canvas, changed = IMAGE.copy(), np.zeros(IMAGE.shape[:2], bool)
    paste_window(canvas, changed, Window(origin, 64, 64), pixels, alpha)
    for row in range(IMAGE.shape[0]):
        for column in range(0, IMAGE.shape[1], 7):
            y, x = row - origin[1], column - origin[0]
            share = float(alpha[0, y, x]) if 0 <= x < 64 and 0 <= y < 64 else 0.0
            assert changed[row, column] == (share > 0)
            wanted = IMAGE[row, column] if share == 0 else (1 - share) * IMAGE[row, column] + share * 255 * pixels[:, y, x].numpy()
            assert np.abs(canvas[row, column] - np.asarray(wanted, float)).max() <= (0.501 if share else 0)
