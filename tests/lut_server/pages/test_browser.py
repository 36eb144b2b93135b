"""The web page and the API page as people use them: in headless Chromium, with keyboard and phone."""

import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import pytest
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import Select, WebDriverWait

from latency_tables.contract import Progress
from tests.support.factories import operation, profile, report
from tests.support.guarded import guarded_server
from tests.support.lut import Lut
from tests.support.proxies import reverse_proxy
from tests.support.scene import HOSTILE, Scene, furnish

pytestmark = [pytest.mark.process, pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)]

WAIT_S = 20
MANY_TABS = 60
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
Found = TypeVar("Found")


class Browser:
    """Chromium and everything that its pages asked for."""

    def __init__(self, chrome: Chrome) -> None:
        self.chrome = chrome

    def open(self, url: str, width: int = 1280, height: int = 900, scheme: str = "light") -> None:
        self._log("performance")
        self._log("browser")
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.chrome.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 700}
        self.chrome.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        self.chrome.get(url)

    def requested(self) -> list[str]:
        """Every address that was asked for since the last look."""
        messages = [json.loads(entry["message"])["message"] for entry in self._log("performance")]
        return [
            message["params"]["request"]["url"]
            for message in messages
            if message["method"] == "Network.requestWillBeSent"
        ]

    def complaints(self) -> list[str]:
        return [entry["message"] for entry in self._log("browser") if entry["level"] == "SEVERE"]

    def _log(self, kind: str) -> list[dict[str, Any]]:
        """What was logged since the last look."""
        entries: list[dict[str, Any]] = self.chrome.execute("getLog", {"type": kind})["value"]
        return entries

    def wait(self, until: Callable[[], Found]) -> Found:
        return WebDriverWait(self.chrome, WAIT_S).until(lambda _: until())

    def one(self, selector: str, within: WebElement | None = None) -> WebElement:
        found = self.wait(lambda: (within or self.chrome).find_elements(By.CSS_SELECTOR, selector))
        return found[0]

    def run(self, script: str, *arguments: object) -> object:
        return self.chrome.execute_script(script, *arguments)

    @property
    def focused(self) -> WebElement:
        return self.chrome.switch_to.active_element

    def press(self, *keys: str) -> None:
        self.focused.send_keys(*keys)

    def tab_to(self, is_it: Callable[[WebElement], bool]) -> WebElement:
        """Press Tab until the focus is there, seeing it all the way."""
        for _ in range(MANY_TABS):
            self.press(Keys.TAB)
            element = self.focused
            outline = element.value_of_css_property("outline-style")
            assert outline != "none", f"the focus cannot be seen on {element.get_attribute('outerHTML')}"
            if is_it(element):
                return element
        raise AssertionError(f"not reached within {MANY_TABS} tabs")

    @property
    def heading(self) -> str:
        return self.one("h1").text


@pytest.fixture(scope="module")
def chrome(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    binary, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if binary is None or driver is None:
        pytest.skip("no browser: install chromium and chromium-driver (Debian) to test the pages in one")
    options = ChromeOptions()
    options.binary_location = binary
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    chrome = Chrome(options=options, service=Service(driver))
    yield chrome
    chrome.quit()


@pytest.fixture
def browser(chrome: Chrome) -> Browser:
    return Browser(chrome)


@pytest.fixture
def scene(lut: Lut) -> Scene:
    return furnish(lut)


def _pages(scene: Scene) -> list[str]:
    pair = f"table={scene.slow.id}&table={scene.fast.id}"
    paths = "&".join(f"path=0.5:{scene.network.digest}:exit%20{number}" for number in (1, 2))
    return [
        "/",
        "/queue",
        "/networks",
        "/expectation",
        f"/expectation?{paths}&deadline_ms=1",
        "/published",
        f"/devices/{scene.slow.device.uuid}",
        f"/tables/{scene.slow.id}",
        "/compare",
        f"/compare?table={scene.slow.id}",
        f"/compare?{pair}",
        f"/compare?{pair}&table={scene.updated.id}&allow_unlike=true",
        f"/compare?table={scene.slow.id}&table={scene.updated.id}",
        "/docs",
    ]


def test_pages_ask_nobody_else_and_fit_a_phone(lut: Lut, scene: Scene, browser: Browser, tmp_path: Path) -> None:
    for number, path in enumerate(_pages(scene)):
        for width in (360, 1280):
            browser.open(lut.url + path, width)
            assert browser.run("return document.documentElement.scrollWidth <= innerWidth"), f"{path} scrolls sideways"
            too_wide = (
                "return [...document.querySelectorAll('img.chart')].filter((one) => one.width > innerWidth).length"
            )
            assert width > 360 or not browser.run(too_wide), f"{path} has a picture that scrolls sideways"
        refused = path.endswith(f"{scene.updated.id}")
        assert bool(browser.complaints()) == refused, path
        asked = {urlsplit(url) for url in browser.requested()}
        assert asked
        strangers = [url for url in asked if url.hostname != "127.0.0.1" and url.scheme not in ("data", "blob")]
        assert not strangers, path
        browser.chrome.save_screenshot(str(tmp_path / f"{number}.png"))


def test_pages_are_built_for_everyone(lut: Lut, scene: Scene, browser: Browser) -> None:
    for path in _pages(scene)[:-1]:
        browser.open(lut.url + path)
        outline = browser.run(
            """
            const all = (selector) => [...document.querySelectorAll(selector)];
            return {
              headings: all("h1").length,
              landmarks: all("header, main, nav[aria-label]").length,
              language: document.documentElement.lang,
              skip: all("body > a:first-child[href='#main']").length,
              unscoped: all("th:not([scope])").length,
              nameless: all("table").filter((table) => !table.caption || !table.caption.textContent.trim()).length,
              textless: all("img:not([alt]), progress:not([aria-label])").length,
              doubled: all("[id]").filter((one) => all(`[id="${one.id}"]`).length > 1).length,
            };
            """
        )
        assert outline == {
            "headings": 1,
            "landmarks": 3,
            "language": "en",
            "skip": 1,
            "unscoped": 0,
            "nameless": 0,
            "textless": 0,
            "doubled": 0,
        }, path


def test_pages_follow_the_colour_scheme(lut: Lut, scene: Scene, browser: Browser) -> None:
    def contrast(scheme: str) -> float:
        browser.open(f"{lut.url}/compare?table={scene.slow.id}&table={scene.fast.id}", scheme=scheme)
        browser.wait(
            lambda: browser.run("return matchMedia(arguments[0]).matches", f"(prefers-color-scheme: {scheme})")
        )
        colours = browser.run(
            "const style = getComputedStyle(document.body); return [style.color, style.backgroundColor];"
        )
        assert isinstance(colours, list)
        ink, paper = (_luminance(colour) for colour in colours)
        assert (ink < paper) == (scheme == "light")
        return (max(ink, paper) + 0.05) / (min(ink, paper) + 0.05)

    assert contrast("light") > 7  # AAA of the web content accessibility guidelines
    assert contrast("dark") > 7


def _luminance(colour: str) -> float:
    """Relative luminance of rgb(…) by the web content accessibility guidelines 2."""
    channels = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_a_comparison_is_two_clicks_away(lut: Lut, scene: Scene, browser: Browser) -> None:
    browser.open(lut.url)
    browser.one(f"a[href$='compare?table={scene.fast.id}']").click()
    assert browser.heading == "Compare NVIDIA RTX A4000 with"
    browser.one(f"main a[href*='table={scene.slow.id}']").click()
    assert browser.heading == "Against NVIDIA RTX A4000"
    assert browser.one(".figure").text.startswith("1.")
    assert "slower" in browser.one(".figure").text
    picture = browser.one("img.chart")
    assert browser.wait(lambda: browser.run("return arguments[0].naturalWidth > 600", picture))


def test_a_comparison_by_keyboard_alone(lut: Lut, scene: Scene, browser: Browser) -> None:
    browser.open(lut.url)
    browser.press(Keys.TAB)
    assert browser.focused.text == "Skip to the content"
    browser.press(Keys.ENTER)
    browser.tab_to(lambda element: element.get_attribute("href") == f"{lut.url}/compare?table={scene.fast.id}")
    browser.press(Keys.ENTER)
    assert browser.wait(lambda: browser.heading == "Compare NVIDIA RTX A4000 with")
    browser.tab_to(lambda element: element.text == "NVIDIA TITAN Xp")
    browser.press(Keys.ENTER)
    assert browser.wait(lambda: browser.heading == "Against NVIDIA RTX A4000")
    only_what_scrolls = (
        "return [...document.querySelectorAll('.scroll')].every((box) => "
        "(box.tabIndex === 0) === (box.scrollWidth > box.clientWidth))"
    )
    for width in (1280, 700):
        browser.open(browser.chrome.current_url, width)
        assert browser.wait(lambda: browser.run(only_what_scrolls)), "what scrolls, and nothing else, is a stop"


def test_what_was_sent_as_html_is_shown_as_text(lut: Lut, scene: Scene, browser: Browser) -> None:
    assert scene
    browser.open(lut.url + "/queue")
    assert browser.one("tr.problem").text == HOSTILE
    assert browser.chrome.title == "Queue · lut-server"
    assert not browser.chrome.find_elements(By.CSS_SELECTOR, "main script, main b")


def test_the_queue_keeps_itself_up_to_date(lut: Lut, browser: Browser) -> None:
    by = report()
    lut.client.register_device(by)
    lut.client.submit_job(profile(*(operation(channels + 1) for channels in range(10))))
    lease = lut.claim(by)
    browser.open(lut.url + "/queue")
    assert browser.one("progress").get_attribute("value") == "0"
    browser.run("window.unchanged = true")
    lut.client.renew(lease.id, lease.token, Progress(done=7, total=10))
    assert browser.wait(lambda: browser.one("progress").get_attribute("value") == "7")
    assert browser.run("return window.unchanged"), "the page itself was not loaded again"


def test_trying_out_a_comparison_gives_the_table_and_the_picture_inline(
    lut: Lut, scene: Scene, browser: Browser
) -> None:
    """As it stands: nothing is typed."""
    assert scene
    browser.open(lut.url + "/docs")
    comparisons = browser.one("#operations-comparisons-compare_tables")
    browser.one(".opblock-summary-control", comparisons).click()
    browser.one("button.execute", comparisons).click()
    frame = browser.one("iframe.answer", comparisons)
    browser.chrome.switch_to.frame(frame)
    assert browser.heading == "Against NVIDIA TITAN Xp"
    rows = browser.wait(lambda: browser.chrome.find_elements(By.CSS_SELECTOR, "tbody tr"))
    assert len(rows) == 94
    assert browser.one("svg").size["height"] > 300
    browser.chrome.switch_to.default_content()
    assert frame.size["height"] > 400

    choice = browser.one("tr[data-param-name='format'] select", comparisons)
    Select(choice).select_by_value("svg")
    browser.one("button.execute", comparisons).click()
    picture = browser.one(".answer img", comparisons)
    assert browser.wait(lambda: browser.run("return arguments[0].naturalWidth > 600", picture))
    assert not browser.complaints()
    assert {urlsplit(url).hostname for url in browser.requested()} <= {"127.0.0.1", None}


def test_trying_out_a_calibration_gives_the_error_card_inline(lut: Lut, scene: Scene, browser: Browser) -> None:
    assert scene
    browser.open(lut.url + "/docs")
    calibration = browser.one("#operations-calibrations-get_table_calibration")
    browser.one(".opblock-summary-control", calibration).click()
    browser.one("button.execute", calibration).click()
    browser.chrome.switch_to.frame(browser.one("iframe.answer", calibration))
    assert browser.heading == scene.fast.device.name
    rows = [item.text for item in browser.chrome.find_elements(By.CSS_SELECTOR, "table tbody th")]
    assert rows[:3] == ["Raw sum of the rows", "Straight line through such sums", "Calibrated"]
    assert browser.one("svg").size["height"] > 300
    browser.chrome.switch_to.default_content()
    assert not browser.complaints()


def test_a_table_shows_its_error_card_and_marks_what_is_not_known(lut: Lut, scene: Scene, browser: Browser) -> None:
    browser.open(f"{lut.url}/tables/{scene.fast.id}")
    picture = browser.one("img[src$='/calibration.svg']")
    assert browser.wait(lambda: browser.run("return arguments[0].naturalWidth > 600", picture))
    assert not browser.chrome.find_elements(By.CSS_SELECTOR, "[role=note]")
    browser.open(lut.url)
    marks = [item.text for item in browser.chrome.find_elements(By.CSS_SELECTOR, "td[data-label=Error]")]
    assert re.fullmatch(r"[0-9.]+\u202f%", marks[0])
    assert marks[1:] == ["not known", "not known"]
    browser.open(f"{lut.url}/tables/{scene.updated.id}")
    assert browser.one("[role=note]").text.startswith("It is not known how well this table predicts")


def test_with_tokens_the_browser_asks_once_for_everything(database_url: str, browser: Browser) -> None:
    with guarded_server(database_url) as guarded:
        token = guarded.make("admin").token
        with guarded.http(token) as http:
            registered = report()
            http.put(
                f"/v1/devices/{registered.device.uuid}", json=registered.model_dump(mode="json")
            ).raise_for_status()
        browser.open(guarded.url)
        assert "Xeon" not in browser.chrome.page_source
        browser.open(guarded.url.replace("://", f"://anyone:{token}@"))
        assert browser.one("tr.group strong").text == "Xeon"
        browser.open(guarded.url + "/queue")
        assert browser.heading == "Queue"


def test_a_job_is_cancelled_and_a_device_hidden_with_a_button_below_a_path(database_url: str, browser: Browser) -> None:
    """Behind a proxy that takes a path off and sends its own Host; the API page works there too."""
    with guarded_server(database_url) as guarded, reverse_proxy(guarded.url, "/team/lut", keep_host=False) as url:
        token = guarded.make("admin").token
        lut = Lut(guarded.url, guarded.clock)
        lut.client._http.headers["Authorization"] = f"Bearer {token}"
        lut.client.register_device(report())
        job = lut.client.submit_job(profile(operation(8)))
        with_token = url.replace("http://", f"http://me:{token}@")
        browser.open(f"{with_token}/queue")
        browser.run("window.confirm = () => true")
        browser.one("button[data-cancel]").click()
        browser.wait(lambda: lut.client.job(job.id).state == "cancelled")
        browser.open(f"{url}/devices/cpu-1")
        browser.run("window.confirm = () => true")
        browser.one("button[data-hide]").click()
        browser.wait(lambda: lut.client.device("cpu-1").hidden)
        browser.open(f"{url}/docs#/devices/get_device")
        browser.one("#operations-devices-get_device .opblock-summary-control, #operations-devices-get_device")
        assert browser.complaints() == []
        assert all(requested.startswith((f"{url}/", "data:")) for requested in browser.requested()), "nothing beside it"
