"""The server as a browser sees it: a headless chromium opens pages and submits forms."""

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from wsgiserver import Server
from wsgiserver.loader import load

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
By = pytest.importorskip("selenium.webdriver.common.by").By
Wait = pytest.importorskip("selenium.webdriver.support.wait").WebDriverWait

ROOT = Path(__file__).parents[1]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
DRIVER = shutil.which("chromedriver") or shutil.which("chromium.chromedriver")
# Seconds after which a page has not come, and the test has failed.
PATIENCE = 60
# A sandbox needs rights that containers do not give; the other switches keep the browser from speaking to anybody else.
SWITCHES = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-extensions"),
    "--no-proxy-server",
]

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed (Debian: apt install chromium)"),
    pytest.mark.skipif(DRIVER is None, reason="chromedriver is not installed (Debian: apt install chromium-driver)"),
    # One browser for the whole file, also where the tests are spread over processes.
    pytest.mark.xdist_group("browser"),
]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Give a headless chromium with a profile of its own."""
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for switch in [*SWITCHES, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"]:
        options.add_argument(switch)
    service = webdriver.ChromeService(DRIVER, env={**os.environ, "SE_AVOID_STATS": "true"})
    driver = webdriver.Chrome(options=options, service=service)
    try:
        driver.set_page_load_timeout(PATIENCE)
        yield driver
    finally:
        driver.quit()


@pytest.fixture
def open_app(browser: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], str]]:
    """Give ``open_app(spec)``, which serves an application, opens its first page and gives its URL."""
    servers = []

    def opened(spec: str) -> str:
        monkeypatch.chdir(ROOT)
        server = Server(load(spec), bind="127.0.0.1:0")
        server.start()
        servers.append(server)
        browser.get(server.url + "/")
        return server.url

    yield opened
    browser.get("about:blank")
    for server in servers:
        server.stop()


def heading(browser: Any) -> str:
    return browser.find_element(By.TAG_NAME, "h1").text


def submit(browser: Any, name: str, value: str) -> None:
    """Type into an input of the page, press the button of its form, and wait for the next page."""
    field = browser.find_element(By.NAME, name)
    field.send_keys(value)
    leave(browser, field.find_element(By.XPATH, "./ancestor::form//button"))


def leave(browser: Any, element: Any) -> None:
    """Click on what leads to another page, and wait until it is there."""
    browser.execute_script("window.left = true")
    element.click()
    there = "return !window.left && document.readyState === 'complete'"
    Wait(browser, PATIENCE, poll_frequency=0.05).until(lambda browser: browser.execute_script(there))


def test_the_hello_world_page_opens(browser: Any, open_app: Any) -> None:
    open_app("")
    assert browser.title == "Hello World"
    assert heading(browser) == "Hello World"
    assert browser.execute_script("return document.compatMode") == "CSS1Compat"
    assert browser.execute_script("return document.characterSet") == "UTF-8"


FRAMEWORKS = [("flask_app", "Flask"), ("bottle_app", "bottle")]


@pytest.mark.parametrize(("app", "framework"), FRAMEWORKS)
def test_a_name_is_submitted_and_greeted(browser: Any, open_app: Any, app: str, framework: str) -> None:
    pytest.importorskip(framework.lower())
    url = open_app(f"apps.{app}:app")
    assert heading(browser) == f"Hello from {framework}"
    submit(browser, "name", "Günther & <你好>")
    assert browser.current_url == f"{url}/form"
    assert heading(browser) == "Hello, Günther & <你好>!"


@pytest.mark.parametrize(("app", "framework"), FRAMEWORKS)
def test_a_file_is_uploaded(browser: Any, open_app: Any, tmp_path: Path, app: str, framework: str) -> None:
    pytest.importorskip(framework.lower())
    content = bytes(range(256)) * 10_000
    (tmp_path / "some file.bin").write_bytes(content)
    open_app(f"apps.{app}:app")
    submit(browser, "file", str(tmp_path / "some file.bin"))
    shown = browser.find_element(By.TAG_NAME, "body").text
    for told in ("some file.bin", str(len(content)), hashlib.sha256(content).hexdigest()):
        assert told in shown


@pytest.mark.parametrize(("app", "framework"), FRAMEWORKS)
def test_links_sessions_redirects_and_error_pages_work(
    browser: Any, open_app: Any, capsys: pytest.CaptureFixture[str], app: str, framework: str
) -> None:
    pytest.importorskip(framework.lower())
    url = open_app(f"apps.{app}:app")
    for expected in ("Visits: 1", "Visits: 2"):
        leave(browser, browser.find_element(By.LINK_TEXT, "Visits"))
        assert heading(browser) == expected
    leave(browser, browser.find_element(By.LINK_TEXT, "Redirect"))
    assert (browser.current_url, heading(browser)) == (f"{url}/", f"Hello from {framework}")
    leave(browser, browser.find_element(By.LINK_TEXT, "Error"))
    assert heading(browser).startswith("500 Internal Server Error")
    browser.back()
    leave(browser, browser.find_element(By.LINK_TEXT, "JSON"))
    assert '"method"' in browser.find_element(By.TAG_NAME, "body").text


def test_the_page_of_a_crash_says_so(browser: Any, open_app: Any, capsys: pytest.CaptureFixture[str]) -> None:
    url = open_app("apps.crash:app")
    browser.get(f"{url}/before")
    assert "500" in browser.find_element(By.TAG_NAME, "body").text


def test_an_upload_without_a_framework(browser: Any, open_app: Any, tmp_path: Path) -> None:
    content = b"content\r\n"
    (tmp_path / "größe.txt").write_bytes(content)
    open_app("apps.upload:app")
    submit(browser, "file", str(tmp_path / "größe.txt"))
    shown = browser.find_element(By.TAG_NAME, "body").text.splitlines()
    assert shown == ["name: größe.txt", "size: 9 bytes", f"SHA-256: {hashlib.sha256(content).hexdigest()}"]
