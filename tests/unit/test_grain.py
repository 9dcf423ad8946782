"""Grain, and contact sheets."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fo_faceanon.errors import OutputError
from fo_faceanon.photometry.grain import LIMIT, match_grain
from fo_faceanon.sheets import contact_sheet


@pytest.mark.parametrize("level", [0.0, 0.01])
def test_grain_follows_the_original_and_never_exceeds_its_limit(level: float) -> None:
    generator = torch.Generator().manual_seed(0)
    original = (0.5 + level * torch.randn(1, 1, 128, 128, generator=generator)).expand(1, 3, -1, -1)
    smooth, skin = torch.full((1, 3, 128, 128), 0.5), torch.ones(1, 1, 128, 128)
    made = match_grain(smooth, original, skin, [4])
    assert float(made.std()) == pytest.approx(level, rel=0.35, abs=1e-5)
    assert torch.equal(made, match_grain(smooth, original, skin, [4]))
    loud = match_grain(smooth, torch.rand(1, 3, 128, 128, generator=generator), skin, [4])
    assert float(loud.std()) < 2 * LIMIT


def test_grain_is_not_read_from_edges() -> None:
    stripes = torch.zeros(1, 3, 128, 128)
    stripes[..., 60:68] = 1.0
    smooth, skin = torch.full((1, 3, 128, 128), 0.5), torch.ones(1, 1, 128, 128)
    assert (match_grain(smooth, stripes, skin, [4]) - smooth).abs().max() < 1e-3


def test_a_sheet_holds_every_pair(tmp_path: Path) -> None:
    pairs = [(np.full((40 + 10 * i, 60, 3), 10 * i, np.uint8),) * 2 for i in range(5)]
    sheet = np.asarray(Image.open(contact_sheet(pairs, tmp_path / "sheet.png", columns=2, height=50)))
    assert sheet.shape[0] % 56 == 0 and sheet.shape[1] <= 2 * 2 * 56
    assert {0, 10, 20, 30, 40} <= set(np.unique(sheet).tolist())
    with pytest.raises(OutputError, match="at least one"):
        contact_sheet([], tmp_path / "none.png")
