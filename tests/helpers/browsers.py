"""A headless Chromium for tests of pages; `skip_reason` says what of it is missing."""

from __future__ import annotations

import importlib.util
import os
import shutil
import time
from pathlib import Path
from typing import Any

DESKTOP, PHONE = (1280, 800), (390, 844)
_SECONDS = 180  # a page is drawn in one or two; a very busy machine takes longer
_FLAGS = (
    "--headless=new", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--hide-scrollbars", "--disable-dev-shm-usage",
)  # fmt: skip


def _chromium() -> str | None:
    names = ("chromium", "chromium-browser", "google-chrome")
    return next((path for name in names if (path := shutil.which(name))), None)


def skip_reason() -> str:
    """What a browser test lacks here; empty where it lacks nothing."""
    needs = {
        "chromium": _chromium(),
        "chromedriver": shutil.which("chromedriver"),
        "the package selenium": importlib.util.find_spec("selenium"),
    }
    lacking = [name for name, there in needs.items() if not there]
    return f"needs {', '.join(lacking)}" if lacking else ""


class Browser:
    """One Chromium with a window of its own."""

    def __init__(self, profile: Path) -> None:
        from selenium import webdriver

        options = webdriver.ChromeOptions()
        options.binary_location = _chromium() or ""
        root = ["--no-sandbox"] if os.geteuid() == 0 else []
        for flag in (*_FLAGS, *root, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        service = webdriver.ChromeService(executable_path=shutil.which("chromedriver"))
        self.driver = webdriver.Chrome(options=options, service=service)

    def size(self, size: tuple[int, int], *, scale: float = 1.0) -> None:
        """The window in CSS pixels; a phone's is one with touch."""
        metrics = {"width": size[0], "height": size[1], "deviceScaleFactor": scale, "mobile": size[0] < 600}
        self.command("Emulation.setDeviceMetricsOverride", **metrics)

    def media(self, media: str = "", scheme: str = "light") -> None:
        """`print` or nothing, and what the reader prefers."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.command("Emulation.setEmulatedMedia", media=media, features=features)

    def open(self, page: Path, *, drawn: bool = True) -> None:
        """Load a page and, if it has figures, wait until they are drawn."""
        self.driver.get(page.resolve().as_uri())
        if drawn:
            self.wait("return 'drawn' in document.documentElement.dataset")

    def wait(self, script: str) -> Any:
        """What a script returns once that is true. Raises AssertionError where it does not become so."""
        end = time.monotonic() + _SECONDS
        while not (value := self.run(script)):
            assert time.monotonic() < end, (script, self.errors())
            time.sleep(0.05)
        return value

    def run(self, script: str) -> Any:
        """What a script returns."""
        return self.driver.execute_script(script)

    def errors(self) -> list[str]:
        """What the console holds since it was last read."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def command(self, name: str, **options: Any) -> Any:
        """A command of the Chrome DevTools Protocol."""
        return self.driver.execute_cdp_cmd(name, options)
