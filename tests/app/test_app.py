"""The App in a real browser: the grid toggles the pictures, the operators' forms open and run."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import fiftyone as fo
import pytest
from host_tools import FAST, make_dataset

from fo_faceanon.host.runner import anonymize

pytestmark = pytest.mark.app
playwright_api = pytest.importorskip("playwright.sync_api", reason="the App tests need: pip install playwright")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def dataset(tmp_path: Path) -> Iterator[fo.Dataset]:
    dataset = make_dataset(tmp_path / "in", ["face", "face", "face", "bad"])
    anonymize(dataset, **FAST)
    dataset.persistent = True  # the App's server is another process
    yield dataset
    dataset.persistent = False


@pytest.fixture
def page(dataset: fo.Dataset) -> Iterator:
    if CHROMIUM is None:
        pytest.skip("the App tests need a browser: apt-get install chromium")
    session = fo.launch_app(dataset, remote=True, port=free_port(), address="127.0.0.1")
    try:
        with playwright_api.sync_playwright() as play:
            browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
            page = browser.new_page(viewport={"width": 1400, "height": 900})
            page.set_default_timeout(90_000)
            page.goto(f"http://127.0.0.1:{session.server_port}/datasets/{dataset.name}")
            page.wait_for_selector('[data-cy="spotlight-section-forward"]')
            page.wait_for_timeout(2000)
            dismiss = page.get_by_role("button", name="Dismiss")
            if dismiss.count():
                dismiss.first.click()
            yield page
            browser.close()
    finally:
        session.close()


def shoot(page, name: str) -> None:
    """A picture to look at, where the environment asks for one."""
    folder = os.environ.get("FACEANON_SHOTS")
    if folder:
        page.screenshot(path=str(Path(folder) / f"{name}.png"))


def open_operator(page, label: str) -> None:
    page.keyboard.press("Backquote")
    page.wait_for_selector('[data-cy="operators-browser-search"]')
    page.keyboard.type(label)
    page.get_by_text(label, exact=True).first.click()
    page.wait_for_selector('[data-cy="operators-prompt-modal"]')


def test_grid_and_operators(page, dataset: fo.Dataset) -> None:
    shoot(page, "original")
    assert page.get_by_text("TypeError").count() == 0
    dataset.app_config.grid_media_field = "anonymized_filepath"
    dataset.save()
    requested: list[str] = []
    page.on("request", lambda request: requested.append(request.url))
    page.reload()
    page.wait_for_selector('[data-cy="spotlight-section-forward"]')
    page.wait_for_timeout(4000)
    shoot(page, "anonymized")
    assert page.get_by_text("TypeError").count() == 0
    media = [url for url in requested if "/media" in url]
    assert media and not any("person-" in url for url in media)  # no original is asked for, nor where there is no other
    open_operator(page, "Show failures")
    page.wait_for_timeout(1500)
    shoot(page, "show_failures")
    page.keyboard.press("Escape")
    open_operator(page, "Anonymize faces")
    page.get_by_text("Do finished samples again").first.wait_for()
    shoot(page, "anonymize")
    page.keyboard.press("Escape")
    open_operator(page, "Export safe split")
    page.get_by_text("Dry run").first.wait_for()
    shoot(page, "export")
    page.keyboard.press("Escape")
    open_operator(page, "Compute metrics")
    page.get_by_text("3 of 4 samples have an anonymized picture").first.wait_for()
    page.wait_for_timeout(1000)
    shoot(page, "metrics")
