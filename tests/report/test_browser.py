"""The page in a real browser: it is quiet, and what can be pressed does what it says."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.expected_conditions import alert_is_present
from selenium.webdriver.support.wait import WebDriverWait

from tl_app.explain.heat import HeatMaps
from tl_app.records import SetAside
from tl_app.report.build import render_report
from tl_app.report.text import DASH

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
        "--disable-dev-shm-usage", "--force-prefers-reduced-motion",
        f"--user-data-dir={tmp_path / 'profile'}",
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
    images = browser.find_elements(By.CSS_SELECTOR, "#errors img")
    assert images
    assert all(image.get_property("naturalWidth") == 96 for image in images)
    assert len(browser.find_elements(By.CSS_SELECTOR, "svg text")) > 10

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
    label = browser.find_element(By.XPATH, "//*[name()='text'][contains(text(), 'log-loss')]")
    assert (background > 0.9) if scheme == "light" else (background < 0.15)
    assert abs(lightness(label, "fill") - background) > 0.5


@pytest.fixture
def open_report(browser, make_contents, tmp_path: Path):
    """Open the page of an invented run, and insist that the browser does not complain."""

    def opened(*names, **changes):
        page = tmp_path / "index.html"
        contents = make_contents(*names, **changes)
        page.write_text(render_report(contents), encoding="utf-8")
        browser.get(page.as_uri())
        assert browser.get_log("browser") == []
        return contents

    return opened


def column(browser, table: str, number: int) -> list[str]:
    return browser.execute_script(
        "return [...document.querySelector(arguments[0]).tBodies[0].rows]"
        ".map(row => row.cells[arguments[1]].dataset.value ?? row.cells[arguments[1]].textContent)",
        table,
        number,
    )


def test_a_press_on_a_heading_sorts_the_classes(browser, open_report):
    contents = open_report()
    table = "table.classes"
    support, f1 = (
        browser.find_element(By.XPATH, f"//table[contains(@class, 'classes')]//button[.='{name}']")
        for name in ("Support", "F1")
    )
    support.click()
    rising = [float(value) for value in column(browser, table, 1)]
    assert rising == sorted(row.support for row in contents.evaluation.per_class)
    # By the keyboard, and back again.
    support.send_keys(Keys.ENTER)
    assert [float(value) for value in column(browser, table, 1)] == rising[::-1]
    heading = browser.find_element(By.CSS_SELECTOR, "table.classes th[aria-sort]")
    assert heading.text.startswith("Support")
    assert heading.get_attribute("aria-sort") == "descending"
    f1.click()
    assert len(browser.find_elements(By.CSS_SELECTOR, "table.classes th[aria-sort]")) == 1
    values = [float(value) for value in column(browser, table, 4)]
    assert values == sorted(values)


def test_what_has_no_figure_stays_at_the_end(browser, open_report):
    names = [f"class {i}" for i in range(20)]
    open_report(names, n_test=24, accuracy=0.5)
    button = browser.find_element(
        By.XPATH, "//table[contains(@class, 'classes')]//button[.='Precision']"
    )
    for _ in range(2):
        button.click()
        is_empty = [value.strip() == DASH for value in column(browser, "table.classes", 2)]
        assert any(is_empty)
        assert is_empty == sorted(is_empty)


def test_a_number_of_the_matrix_leads_to_its_pictures(browser, open_report):
    open_report(accuracy=0.6)
    cells = browser.find_elements(By.CSS_SELECTOR, ".matrix td.wrong a")
    target = cells[0].get_attribute("href").split("#")[1]
    panel = browser.find_element(By.ID, target)
    assert not panel.is_displayed()
    cells[0].send_keys(Keys.ENTER)
    assert panel.is_displayed()
    assert browser.switch_to.active_element == panel
    shown = panel.find_elements(By.TAG_NAME, "img")
    assert len(shown) == min(8, int(cells[0].find_element(By.CLASS_NAME, "count").text))
    WebDriverWait(browser, 5).until(
        lambda _: all(image.get_property("naturalWidth") == 96 for image in shown)
    )
    panel.find_element(By.LINK_TEXT, "back to all").click()
    assert not panel.is_displayed()


def test_the_matrix_shows_counts_or_rates(browser, open_report):
    open_report(accuracy=0.6)
    count = browser.find_element(By.CSS_SELECTOR, ".matrix .count")
    rate = browser.find_element(By.CSS_SELECTOR, ".matrix .rate")
    assert (count.is_displayed(), rate.is_displayed()) == (True, True)
    browser.find_element(By.ID, "cells-counts").click()
    assert (count.is_displayed(), rate.is_displayed()) == (True, False)
    browser.find_element(By.ID, "cells-rates").click()
    assert (count.is_displayed(), rate.is_displayed()) == (False, True)


def test_heat_maps_lie_on_their_pictures_and_can_be_put_away(browser, open_report, make_contents):
    contents = make_contents(accuracy=0.6)
    paths = contents.predictions.paths
    ramp = np.linspace(0, 1, 49, dtype=np.float32).reshape(7, 7)
    open_report(accuracy=0.6, heat=HeatMaps("grad_cam", dict.fromkeys(paths, ramp), 0.1))
    heat = browser.find_element(By.CSS_SELECTOR, "#errors .heat")
    picture = heat.find_element(By.XPATH, "./preceding-sibling::img")
    assert heat.is_displayed()
    assert heat.rect == picture.rect
    browser.find_element(By.ID, "heat-on").click()
    assert not heat.is_displayed()


@pytest.mark.parametrize("n_classes", [2, 1000])
def test_from_two_classes_to_a_thousand(browser, open_report, n_classes):
    open_report([f"class {i}" for i in range(n_classes)], n_test=20 * n_classes, accuracy=0.8)
    rows = browser.find_elements(By.CSS_SELECTOR, "table.classes tbody tr")
    assert len(rows) == n_classes
    if n_classes == 2:
        assert all(row.is_displayed() for row in rows)
        assert len(browser.find_elements(By.CSS_SELECTOR, ".matrix td a")) == 4
        return
    assert rows[39].is_displayed()
    assert not rows[40].is_displayed()
    browser.find_element(By.ID, "all-classes").click()
    assert rows[999].is_displayed()
    pair = browser.find_element(By.CSS_SELECTOR, "#confusions tbody a")
    panel = browser.find_element(By.ID, pair.get_attribute("href").split("#")[1])
    pair.send_keys(Keys.ENTER)
    assert panel.is_displayed()


def test_everything_can_be_reached_by_the_keyboard_and_has_a_name(browser, open_report):
    open_report(accuracy=0.6)
    nameless = browser.execute_script(
        """
        return [...document.querySelectorAll("a, button, input, [role=region], img")].filter(
          (it) => !(it.textContent.trim() || it.getAttribute("aria-label") || it.labels?.length ||
                    it.alt || it.classList.contains("heat"))
        ).map((it) => it.outerHTML)
        """
    )
    assert nameless == []
    unreachable = browser.execute_script(
        """
        return [...document.querySelectorAll("a[href], button, input, summary")].filter(
          (it) => it.tabIndex < 0
        ).length
        """
    )
    assert unreachable == 0


def test_the_page_prints(browser, open_report):
    open_report(accuracy=0.95)
    printed = base64.b64decode(browser.print_page())
    assert printed.startswith(b"%PDF")
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    assert not browser.find_element(By.TAG_NAME, "nav").is_displayed()
    assert not browser.find_element(By.CLASS_NAME, "switch").is_displayed()
    assert browser.find_element(By.CSS_SELECTOR, ".matrix .count").is_displayed()
    assert "rgb(255, 255, 255)" in browser.execute_script(
        "return getComputedStyle(document.querySelector('.matrix td.strong')).color"
    )
