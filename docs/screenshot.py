"""Take a picture of a study's page: python docs/screenshot.py results/demo docs/demo.png [WIDTH HEIGHT]

Needs Chromium on the path (Debian: apt-get install chromium).
"""

import subprocess
import sys
import tempfile
from pathlib import Path

if __name__ == "__main__":
    study, picture = Path(sys.argv[1]), Path(sys.argv[2])
    width, height = sys.argv[3:5] or ("1280", "1460")
    with tempfile.TemporaryDirectory() as profile:
        subprocess.run(
            [
                "chromium",
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-background-networking",
                "--no-first-run",
                "--hide-scrollbars",
                f"--user-data-dir={profile}",
                f"--window-size={width},{height}",
                "--virtual-time-budget=5000",
                f"--screenshot={picture.resolve()}",
                (study / "dashboard.html").resolve().as_uri(),
            ],
            check=True,
            stderr=subprocess.DEVNULL,
        )
