"""A picture of the first screen of a report, for the documents: `python -m benchmarks.screenshots runs/quickstart`.

Writes `docs/report.png`, by day and on a desktop, at one and a half times the pixels of its window. The first screen
holds no text of a model. Needs Chromium with its driver, and the extra `dev`.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from infra.atomic import atomic_path
from tests.helpers.browsers import DESKTOP, Browser, skip_reason

PICTURE = Path(__file__).resolve().parents[1] / "docs" / "report.png"
_SCALE = 1.5  # sharp on most screens, and well below 300 kB


def main() -> None:
    """Take the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("study", type=Path, help="folder of a finished study")
    parser.add_argument("--out", type=Path, default=PICTURE)
    options = parser.parse_args()
    if reason := skip_reason():
        raise SystemExit(reason)
    with tempfile.TemporaryDirectory() as profile, atomic_path(options.out) as path:
        take(options.study / "report.html", path, Path(profile))
    print(options.out)


def take(page: Path, picture: Path, profile: Path) -> None:
    """Draw the page in a window of a desktop and keep what is seen as a PNG."""
    browser = Browser(profile)
    try:
        browser.size(DESKTOP, scale=_SCALE)
        browser.media()
        browser.open(page)
        picture.write_bytes(browser.driver.get_screenshot_as_png())
    finally:
        browser.driver.quit()


if __name__ == "__main__":
    main()
