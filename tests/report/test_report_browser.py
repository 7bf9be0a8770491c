"""The page in headless Chromium: what only a browser can tell."""

import base64

import pytest
from browser import needs_chromium, show
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from stages.report.__main__ import REPORT

pytestmark = [pytest.mark.slow, needs_chromium]


@pytest.fixture
def page(browser, reported):
    """The report on a desktop's screen in the light scheme."""
    show(browser)
    browser.get((reported / REPORT).as_uri())
    return browser


def test_nothing_is_logged_and_nothing_is_fetched(page):
    assert page.get_log("browser") == []
    fetched = page.execute_script("return performance.getEntriesByType('resource').map(entry => entry.name)")
    assert [name for name in fetched if not name.startswith("data:")] == []


def test_the_log_would_tell_of_something_blocked(page):
    page.execute_script("const image = new Image(); image.src = 'https://example.org/x.png'; document.body.append(image)")
    assert any("Content Security Policy" in entry["message"] for entry in page.get_log("browser"))


def test_every_picture_loads_and_has_a_text(page):
    images = page.execute_async_script(
        "const done = arguments[0], images = [...document.images];"
        "for (const image of images) image.loading = 'eager';"
        "Promise.all(images.map(image => image.decode())).then(() => done(images.map(image => [image.naturalWidth, image.alt])))"
    )
    assert len(images) > 5
    assert all(width > 0 and alt for width, alt in images)


def column(table, number: int) -> list[str]:
    script = "return [...arguments[0].tBodies[0].rows].map(row => row.cells[arguments[1]].innerText)"
    return table.parent.execute_script(script, table, number - 1)


def test_a_click_sorts_by_numbers_and_another_turns_the_order_round(page):
    table = page.find_element(By.CSS_SELECTOR, "#slices table")
    header = table.find_element(By.CSS_SELECTOR, "th:nth-child(3)")
    before, names = column(table, 3), column(table, 1)
    header.find_element(By.TAG_NAME, "button").click()
    assert header.get_attribute("aria-sort") == "ascending"
    assert column(table, 3) == sorted(before, key=int) != before
    header.find_element(By.TAG_NAME, "button").click()
    assert header.get_attribute("aria-sort") == "descending"
    assert column(table, 3) == sorted(before, key=int, reverse=True)
    assert len(table.find_elements(By.CSS_SELECTOR, "th[aria-sort]")) == 1
    assert sorted(column(table, 1)) == sorted(names)


def test_the_keyboard_sorts_by_text(page):
    table = page.find_elements(By.CSS_SELECTOR, "#run table")[-1]
    button = table.find_element(By.CSS_SELECTOR, "th:first-child button")
    page.execute_script("arguments[0].focus()", button)
    button.send_keys(Keys.ENTER)
    assert column(table, 1) == sorted(column(table, 1))
    button.send_keys(Keys.SPACE)
    assert column(table, 1) == sorted(column(table, 1), reverse=True)


def test_what_is_undefined_is_sorted_last_either_way(page):
    table = page.find_element(By.CSS_SELECTOR, "#classes table")
    page.execute_script(
        "const cell = arguments[0].tBodies[0].rows[0].cells[2]; cell.dataset.sort = ''; cell.textContent = 'undefined'", table
    )
    for _ in range(2):
        table.find_element(By.CSS_SELECTOR, "th:nth-child(3) button").click()
        assert column(table, 3)[-1] == "undefined"


def test_the_skip_link_is_the_first_stop_and_leads_to_the_results(page):
    page.switch_to.active_element.send_keys(Keys.TAB)
    link = page.switch_to.active_element
    assert link.get_attribute("class") == "skip" and link.rect["x"] >= 0
    link.send_keys(Keys.ENTER)
    assert page.switch_to.active_element.get_attribute("id") == "content"


@pytest.mark.parametrize("width", [390, 768, 1280])
def test_only_tables_scroll_sideways(page, width):
    show(page, width)
    assert page.execute_script("return document.documentElement.scrollWidth") <= width
    outside = page.execute_script(
        "return [...document.querySelectorAll('main *')].filter(e => !e.closest('.scroll') && e.getBoundingClientRect().right > innerWidth + 1)"
        ".map(e => e.outerHTML.slice(0, 80))"
    )
    assert outside == []


CONTRAST = """
const canvas = document.createElement('canvas').getContext('2d'), known = {};
const channels = colour => known[colour] ??= (canvas.clearRect(0, 0, 1, 1), canvas.fillStyle = colour, canvas.fillRect(0, 0, 1, 1),
  [...canvas.getImageData(0, 0, 1, 1).data]);
const luminance = colour => { const [r, g, b] = channels(colour).map(v => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
const behind = e => { for (; e; e = e.parentElement) { const c = getComputedStyle(e).backgroundColor; if (channels(c)[3] === 255) return c; } return 'white'; };
return arguments[0].map(([selector, property]) => [...document.querySelectorAll(selector)].map(e => {
  const [a, b] = [luminance(getComputedStyle(e)[property]), luminance(behind(e))].sort((x, y) => y - x); return (a + 0.05) / (b + 0.05); }))
  .map(found => found.length ? Math.min(...found) : 0);
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_and_lines_stand_out_in_light_and_dark(page, scheme):
    show(page, scheme=scheme)
    dark = page.execute_script("return getComputedStyle(document.body).backgroundColor") != "rgb(255, 255, 255)"
    assert dark == (scheme == "dark")
    texts = [["p", "color"], ["td", "color"], ["th button", "color"], ["a[href]", "color"], [".note", "color"], [".chart text", "fill"]]
    assert min(page.execute_script(CONTRAST, texts)) >= 4.5  # WCAG 2.2, 1.4.3
    assert min(page.execute_script(CONTRAST, [["polyline", "stroke"], ["circle", "fill"]])) >= 3  # 1.4.11


def test_on_paper_it_is_black_on_white_without_what_only_a_screen_needs(page):
    show(page, width=718, scheme="dark", media="print")  # A4 within its margins
    style = "return getComputedStyle(document.querySelector(arguments[0]))[arguments[1]]"
    assert page.execute_script(style, "body", "backgroundColor") == "rgb(255, 255, 255)"
    assert page.execute_script(style, "nav", "display") == "none"
    assert page.execute_script(style, ".scroll", "overflowX") == "visible"
    assert page.execute_script("return document.documentElement.scrollWidth") <= 718
    assert base64.b64decode(page.print_page()).startswith(b"%PDF")
