"""Reviewing in a real browser: select, decide, and see that only what was selected has changed."""

from __future__ import annotations

import fiftyone as fo
import numpy as np
import pytest
from host_tools import BOX
from PIL import Image
from test_app import dataset as dataset
from test_app import open_operator, playwright_api, shoot
from test_app import page as page

from fo_faceanon.host.inputs import file_stamp

pytestmark = pytest.mark.app


def cell(page, number: int):
    """A sample of the grid."""
    return page.locator('[data-cy="spotlight-section-forward"] [data-cy="looker"]').nth(number)


def tick(page, number: int) -> None:
    cell(page, number).hover()
    page.wait_for_timeout(500)
    box = cell(page, number).bounding_box()
    page.mouse.click(box["x"] + 12, box["y"] + 12)
    page.wait_for_timeout(500)


def open_sample(page, number: int) -> None:
    """Opens a sample; the grid takes no click for a while after it is drawn."""
    viewer = page.locator('[data-cy="modal-looker-container"]').first
    for _ in range(10):
        box = cell(page, number).bounding_box()
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        page.wait_for_timeout(500)
        page.mouse.down()
        page.mouse.up()
        try:
            viewer.wait_for(timeout=6000)
            return
        except playwright_api.TimeoutError:
            page.mouse.move(box["x"] + 900, box["y"] + 500)
    viewer.wait_for()


def greys(dataset: fo.Dataset) -> list[int]:
    dataset.reload()
    return [int(np.asarray(Image.open(path))[20, 20, 0]) for path in dataset.values("anonymized_filepath")[:3]]


def test_fill_the_selected_sample(page, dataset: fo.Dataset) -> None:
    before, stamps = greys(dataset), [file_stamp(path) for path in dataset.values("filepath")]
    open_operator(page, "Review faces")
    page.get_by_text("Select the samples that you looked at").first.wait_for()
    shoot(page, "review_nothing_selected")
    page.keyboard.press("Escape")
    tick(page, 1)
    open_operator(page, "Review faces")
    page.get_by_text("Accept: nobody can be recognised").first.click()
    page.get_by_text("Paint the faces over").first.click()
    page.get_by_text("Paints over 1 face in 1 sample").first.wait_for()
    shoot(page, "review_fill")
    page.get_by_role("button", name="Execute").first.click()
    page.get_by_text("1 of 1 sample made again").first.wait_for()
    page.get_by_text("Look at what came out").first.wait_for()
    shoot(page, "review_filled")
    dataset.reload()
    assert [face.method for face in dataset[1:2].first().faces.detections] == ["mask"]
    assert greys(dataset)[0] == before[0] and greys(dataset)[2] == before[2]
    assert [file_stamp(path) for path in dataset.values("filepath")] == stamps


def test_one_face_that_is_selected_in_a_sample(page, dataset: fo.Dataset) -> None:
    before = greys(dataset)
    open_sample(page, 0)
    page.wait_for_timeout(2500)
    box = page.locator('[data-cy="modal-looker-container"]').first.bounding_box()
    x0, y0, x1, y1 = BOX  # of a picture of 64 x 56 that fills the viewer's width or height
    scale = min(box["width"] / 64, box["height"] / 56)
    centre = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.click(centre[0] + ((x0 + x1) / 2 - 32) * scale, centre[1] + ((y0 + y1) / 2 - 28) * scale)
    page.wait_for_timeout(1000)
    shoot(page, "modal_selected")
    open_operator(page, "Anonymize again")
    page.get_by_text("Makes 1 selected face of 1 sample again").first.wait_for()
    shoot(page, "reanonymize")
    page.get_by_role("button", name="Execute").first.click()
    page.get_by_text("1 of 1 sample made again").first.wait_for()
    shoot(page, "reanonymized")
    assert greys(dataset)[1:] == before[1:] and dataset.first().faces.detections[0]["asked_seed"] == 1
