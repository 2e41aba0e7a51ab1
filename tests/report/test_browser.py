"""The page in a real browser: nothing runs, nothing is fetched, nothing is complained about."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.expected_conditions import alert_is_present

from tl_app.records import SetAside
from tl_app.report.build import render_report

HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</style><b>",
    "\u202egpj",
]
WIDTHS = (1200, 420)


@pytest.fixture
def browser(tmp_path) -> Iterator[webdriver.Chrome]:
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or driver is None:
        pytest.fail(
            "This test needs Chromium and its driver, which `make test` installs "
            "(Debian: apt-get install chromium chromium-driver)."
        )
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for argument in (
        "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync",
        "--disable-dev-shm-usage", f"--user-data-dir={tmp_path / 'profile'}",
    ):  # fmt: skip
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    opened = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    yield opened
    opened.quit()


def test_the_page_is_quiet_and_fits(browser, make_contents, tmp_path: Path):
    contents = make_contents(
        HOSTILE,
        n_test=60,
        accuracy=0.5,
        paths=[f"{HOSTILE[i % 4]}/{'y' * 200}{i}.jpg" for i in range(60)],
        set_aside=[SetAside(name, name, "empty") for name in HOSTILE],
        run_name=HOSTILE[1],
    )
    page = tmp_path / "index.html"
    page.write_text(render_report(contents), encoding="utf-8")
    browser.get("about:blank")
    browser.get_log("performance")  # forgets what the browser's own first page asked for
    browser.get(page.as_uri())

    assert not alert_is_present()(browser)
    assert browser.get_log("browser") == []
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    requested = {
        event["params"]["request"]["url"]
        for event in events
        if event["method"] == "Network.requestWillBeSent"
    }
    assert page.as_uri() in requested
    assert {url for url in requested if not url.startswith("data:")} == {page.as_uri()}

    headings = [element.text for element in browser.find_elements(By.CSS_SELECTOR, "h2")]
    assert headings[:2] == ["Verdict", "Result"]
    assert browser.find_element(By.TAG_NAME, "h1").text == HOSTILE[1]
    images = browser.find_elements(By.TAG_NAME, "img")
    assert images
    assert all(image.get_property("naturalWidth") == 96 for image in images)
    assert len(browser.find_elements(By.CSS_SELECTOR, "svg text")) > 20

    for width in WIDTHS:
        browser.set_window_size(width, 900)
        overflow = browser.execute_script(
            "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )
        assert overflow <= 0, f"the page is {overflow} px too wide at {width} px"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_figures_follow_the_colour_scheme(browser, make_contents, tmp_path: Path, scheme):
    page = tmp_path / "index.html"
    page.write_text(render_report(make_contents()), encoding="utf-8")
    browser.execute_cdp_cmd(
        "Emulation.setEmulatedMedia",
        {"features": [{"name": "prefers-color-scheme", "value": scheme}]},
    )
    browser.get(page.as_uri())

    def lightness(element, attribute):
        colour = element.value_of_css_property(attribute)
        return sum(map(float, colour.strip("rgba()").split(",")[:3])) / (3 * 255)

    background = lightness(browser.find_element(By.TAG_NAME, "body"), "background-color")
    label = browser.find_element(By.XPATH, "//*[name()='text'][text()='mammal']")
    assert (background > 0.9) if scheme == "light" else (background < 0.15)
    assert abs(lightness(label, "fill") - background) > 0.6
