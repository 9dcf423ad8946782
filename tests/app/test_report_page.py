"""The report in a real browser: it asks for nothing, complains of nothing, and fits a phone."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

from fo_faceanon.evaluation.report import write_report

sys.path.append(str(Path(__file__).parents[1] / "unit"))
from evaluation_sample import sample_attack, sample_evaluation

pytestmark = pytest.mark.app
playwright_api = pytest.importorskip("playwright.sync_api", reason="the App tests need: pip install playwright")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_in_a_browser(tmp_path: Path, width: int, scheme: str) -> None:
    if CHROMIUM is None:
        pytest.skip("the App tests need a browser: apt-get install chromium")
    path = write_report(sample_evaluation(), tmp_path / "report.html", attack=sample_attack())
    with playwright_api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
        asked: list[str] = []
        said: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: said.append(message.text))
        page.goto(path.as_uri())
        assert asked == [path.as_uri()] and said == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.get_by_role("table", name="Figures of geometry").count() == 1  # also where it is shown as cards
        assert page.get_by_role("img").count() > 20
        if os.environ.get("FACEANON_SHOTS"):
            page.screenshot(path=str(Path(os.environ["FACEANON_SHOTS"]) / f"report-{width}-{scheme}.png"), full_page=True)
        browser.close()
