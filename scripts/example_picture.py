"""Makes the README's picture: portraits of the demo (people who do not exist) beside their anonymized selves.

python scripts/example_picture.py 1 6 12 20
"""

from __future__ import annotations

import sys
from pathlib import Path

from fo_faceanon import Anonymizer
from fo_faceanon.images import decode_image
from fo_faceanon.sheets import contact_sheet

ROOT = Path(__file__).resolve().parent.parent


def main(numbers: list[int]) -> None:
    """Writes ``docs/example.png``."""
    files = [ROOT / "fo_faceanon" / "data" / "demo" / f"portrait_{number:02d}.jpg" for number in numbers]
    images = [decode_image(file).pixels for file in files]
    results = Anonymizer("donor", device="cpu")(images)
    contact_sheet([(image, result.pixels) for image, result in zip(images, results, strict=True)], ROOT / "docs" / "example.png", 4, 192)


if __name__ == "__main__":
    main([int(argument) for argument in sys.argv[1:]])
