"""A picture of a study's page: python docs/screenshot.py results/atlas-phantom docs/atlas.png

The top of the page as it opens at 1280 pixels, down to the first figures; with --cell NAME, that cell.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path
from urllib.parse import urlencode

from playwright.sync_api import sync_playwright

from analysis.dashboard import write_dashboard

WIDTH, HEIGHT, SCALE = 1280, 1530, 1


def shoot(study: Path, out: Path, cell: str | None) -> None:
    """Write the page anew, open it in Chromium, and take its picture."""
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        page = Path(str(write_dashboard(study, out=Path(folder) / "page.html")))
        chromium = shutil.which("chromium") or shutil.which("google-chrome")
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, device_scale_factor=SCALE)
        asked = "#" + urlencode({"cell": f"study-0/{cell}"}) if cell else ""
        tab.goto(page.as_uri() + asked)
        tab.locator(".chart[data-stale], .chart:not([data-drawn])").first.wait_for(state="detached")
        if cell:
            tab.locator("#study-0-cell").screenshot(path=out)
        else:
            tab.screenshot(path=out)
        browser.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--cell")
    options = parser.parse_args()
    shoot(options.study, options.out, options.cell)
