"""Debian's chromium, without a window and without a network of its own: for screenshots, and for tests of pages."""

from __future__ import annotations

import base64
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
)


def missing() -> list[str]:
    """The Debian packages that are not there."""
    wanted = {"chromium": "chromium", "chromium-driver": "chromedriver"}
    return [package for package, program in wanted.items() if shutil.which(program) is None]


class Browser:
    """
    A browser with one page.

    Args:
        driver: Selenium's.
    """

    def __init__(self, driver: Any) -> None:
        self._driver = driver

    @classmethod
    @contextmanager
    def started(cls) -> Iterator[Self]:
        """Start one with a profile of its own, and end it."""
        from selenium import webdriver
        from selenium.webdriver.chrome.service import Service

        with tempfile.TemporaryDirectory(prefix="wxmiddleware-browser-", ignore_cleanup_errors=True) as profile:
            options = webdriver.ChromeOptions()
            options.binary_location = shutil.which("chromium") or "chromium"
            for flag in (*_FLAGS, f"--user-data-dir={profile}"):
                options.add_argument(flag)
            options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
            driver = webdriver.Chrome(options, Service(shutil.which("chromedriver") or "chromedriver"))
            try:
                yield cls(driver)
            finally:
                driver.quit()

    def be(self, width: int, *, dark: bool = False, height: int = 900, scale: float = 1.0) -> None:
        """Be so wide, in light or in dark; narrow ones are telephones."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": scale, "mobile": width < 600}
        self._driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        colours = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self._driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": colours})

    def open(self, url: str) -> None:
        """Open a page."""
        self._driver.get(url)

    def click(self, text: str) -> None:
        """Follow a link."""
        from selenium.webdriver.common.by import By

        self._driver.find_element(By.LINK_TEXT, text).click()

    @property
    def url(self) -> str:
        """Where it is."""
        return str(self._driver.current_url)

    def text(self) -> str:
        """What a person reads."""
        from selenium.webdriver.common.by import By

        return str(self._driver.find_element(By.TAG_NAME, "body").text)

    def ask(self, script: str) -> Any:
        """Ask the page something, in JavaScript of ours."""
        return self._driver.execute_script(f"return {script}")

    def wait_for(self, condition: Callable[[], bool], seconds: float = 60.0) -> bool:
        """Wait until something is so; for loads that the page begins by itself."""
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                return False
            time.sleep(0.05)
        return True

    def complaints(self) -> list[str]:
        """What the browser has complained of: what it could not load, or was not allowed to."""
        return [entry["message"] for entry in self._driver.get_log("browser")]

    def picture(self, path: Path, *, whole: bool = True) -> None:
        """
        Take a picture.

        Args:
            path: Where to.
            whole: The whole page, and not only what fits.
        """
        shot = self._driver.execute_cdp_cmd(
            "Page.captureScreenshot", {"format": "png", "captureBeyondViewport": whole, **self._clip(whole)}
        )
        path.write_bytes(base64.b64decode(shot["data"]))

    def _clip(self, whole: bool) -> dict[str, Any]:
        if not whole:
            return {}
        size = self._driver.execute_cdp_cmd("Page.getLayoutMetrics", {})["cssContentSize"]
        return {"clip": {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}}
