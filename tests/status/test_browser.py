"""The status page in a real browser: Debian's chromium."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from support import debian
from support import status_facts as given

from demo._browser import Browser, missing
from wxmiddleware._runtime.language import Language
from wxmiddleware.status._answer import Answer, chosen, shown
from wxmiddleware.status._facts import Facts
from wxmiddleware.status._html import page

pytest.importorskip("selenium")
pytestmark = pytest.mark.servers

SCENES: dict[str, Callable[[], Facts]] = {
    "none": lambda: given.facts([]),
    "one": lambda: given.facts([given.account(1)]),
    "two": lambda: given.facts([given.trouble(1), given.account(2)], events=[given.event("fetch_failed")]),
    "thirty": lambda: given.facts([given.trouble(1, "fresh"), *map(given.account, range(2, 31))]),
    "everything": given.everything,
}
# What stands out of its card, or of the page.
OVERFLOWS = """
[...document.querySelectorAll("main *")].filter(each => !each.closest("svg, .axis")).filter(each => {
  const box = each.getBoundingClientRect();
  return box.right > document.documentElement.clientWidth + 0.5 || box.left < -0.5;
}).map(each => each.outerHTML.slice(0, 90))
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if absent := missing():
        debian.missing("a browser", " ".join(absent))
    with Browser.started() as browser:
        yield browser


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """Serve each scene at its name, with the headers of the real one."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path, _, query = self.path.partition("?")
            scene = path.strip("/")
            if scene not in SCENES:
                self.send_error(404)
                return
            again = 1 if "quick" in query else 3600
            self._send(shown(page(SCENES[scene](), chosen(query, self.headers["Accept-Language"] or ""), again)))

        def _send(self, answer: Answer) -> None:
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer.body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            serving.join()


@pytest.mark.parametrize("language", Language)
@pytest.mark.parametrize("width", [320, 390, 1000])
@pytest.mark.parametrize("scene", SCENES)
def test_nothing_stands_out(browser: Browser, url: str, scene: str, width: int, language: Language) -> None:
    """Nothing is wider than the page, on the smallest telephone, too; and the browser has nothing to complain of."""
    browser.complaints()
    browser.be(width)
    browser.open(f"{url}/{scene}?lang={language}")

    assert width == browser.ask("document.documentElement.scrollWidth")
    assert [] == browser.ask(OVERFLOWS.strip())
    assert [] == [each for each in browser.complaints() if "favicon" not in each]


def test_dark_and_light(browser: Browser, url: str) -> None:
    grounds = []
    for dark in (False, True):
        browser.be(390, dark=dark)
        browser.open(f"{url}/two")
        grounds.append(browser.ask("getComputedStyle(document.body).backgroundColor"))

    assert ["rgb(246, 247, 248)", "rgb(20, 24, 27)"] == grounds


def test_the_axis_is_where_the_picture_is(browser: Browser, url: str) -> None:
    """The word "now" stands below the line of now, on a telephone and on a desk."""
    for width in (320, 1000):
        browser.be(width)
        browser.open(f"{url}/one?lang=en")
        middle = "(each => (each.left + each.right) / 2)(document.querySelector('{}').getBoundingClientRect())"
        now = browser.ask(middle.format(".now"))
        label = browser.ask(middle.format(".axis span:nth-child(3)"))

        assert pytest.approx(now, abs=2.0) == label


def test_another_language_by_its_link(browser: Browser, url: str) -> None:
    browser.be(390)
    browser.open(f"{url}/one?lang=en")
    browser.click("中文")

    assert browser.url.endswith("/one?lang=zh")
    assert "账号有可用的 token" in browser.text()
    browser.click("English")
    assert "The account has a token" in browser.text()


def test_it_loads_itself_anew(browser: Browser, url: str) -> None:
    """Without a script, and in the language that was chosen."""
    browser.open(f"{url}/one?lang=zh&quick")
    first = browser.ask("performance.timeOrigin")
    assert browser.wait_for(lambda: browser.ask("performance.timeOrigin") != first)

    assert browser.url.endswith("?lang=zh&quick")
    assert "账号有可用的 token" in browser.text()


def test_what_is_hostile_does_nothing(browser: Browser, url: str) -> None:
    browser.be(1000)
    browser.open(f"{url}/everything")

    assert 0 == browser.ask("document.querySelectorAll('script, img, iframe, [style], [onerror]').length")
    assert '<script>alert("x")</script>' in browser.text()
