"""The page at / in a real browser."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.expected_conditions import alert_is_present
from selenium.webdriver.support.wait import WebDriverWait

from tests.serving.servers import CLASS_NAMES, Client, Engine, on_thread

pytestmark = pytest.mark.slow


@pytest.fixture
def browser(tmp_path) -> Iterator[webdriver.Chrome]:
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or driver is None:
        pytest.fail("This test needs Chromium and its driver, which `make test` installs.")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for argument in (
        "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-dev-shm-usage",
        "--disable-background-networking", f"--user-data-dir={tmp_path / 'profile'}",
    ):  # fmt: skip
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    opened = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    opened.set_window_size(900, 800)
    yield opened
    opened.quit()


def wait(browser: webdriver.Chrome, css: str, n: int = 1) -> list:
    def found(_: object) -> Any:
        elements = browser.find_elements(By.CSS_SELECTOR, css)
        return elements if len(elements) >= n else None

    return WebDriverWait(browser, 20).until(found)


def test_pictures_are_told_and_hostile_names_are_text(
    browser, server: Client, pictures, offline, tmp_path: Path
):
    files = [tmp_path / "a.jpg", tmp_path / "<b>.png", tmp_path / "broken.jpg"]
    for file, data in zip(files, (pictures[0], pictures[3], b"\xff\xd8\xff"), strict=True):
        file.write_bytes(data)
    browser.get(f"{server.url}/")
    options = wait(browser, "#model option", 3)
    next(option for option in options if option.text.startswith("light")).click()
    browser.find_element(By.ID, "files").send_keys("\n".join(map(str, files)))
    items = wait(browser, "#answers > li", 3)
    assert "This cannot be used" in items[0].text
    for item, told, file in zip(reversed(items[1:]), offline[[0, 3]], files, strict=False):
        lines = item.text.splitlines()
        assert lines[0] == file.name
        best = told.argmax()
        assert lines[1] == CLASS_NAMES[best]
        assert lines[2] == f"{100 * told[best]:.1f} %"
        (picture,) = item.find_elements(By.TAG_NAME, "img")
        assert picture.get_property("naturalWidth") > 0
    assert not alert_is_present()(browser)
    # A picture that the browser cannot show either is no fault of the page's.
    serious = [entry for entry in browser.get_log("browser") if entry["level"] != "DEBUG"]
    assert [entry for entry in serious if "blob:" not in entry["message"]] == []


def test_texts_and_a_token(browser):
    with on_thread(Engine(), token="secret") as client:
        browser.get(f"{client.url}/")
        field = wait(browser, "#token")[0]
        WebDriverWait(browser, 10).until(lambda _: field.is_displayed())
        field.send_keys("secret")
        browser.execute_script("document.getElementById('token').blur()")
        text = wait(browser, "#text")[0]
        WebDriverWait(browser, 10).until(lambda _: text.is_displayed())
        text.send_keys("Where is my parcel?")
        browser.find_element(By.CSS_SELECTOR, "#text-form button").click()
        (item,) = wait(browser, "#answers > li")
        assert item.text.splitlines()[:2] == ["Where is my parcel?", "aWhere is my parcel?"]
