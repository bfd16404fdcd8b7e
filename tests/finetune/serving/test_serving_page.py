"""The page in a real browser."""

from __future__ import annotations

import pytest
from fixtures.servers import EVIL
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from nni_nasoa.finetune.loading import load_classifier

pytestmark = pytest.mark.slow


@pytest.fixture
def opened(browser, served):
    browser.get(served.url)
    return browser


def cards(browser, number):
    """The cards of so many images, once they are all answered."""

    def all_there(_):
        found = browser.find_elements(By.CSS_SELECTOR, "#results .card")
        done = [one for one in found if one.find_elements(By.CSS_SELECTOR, "td, .failed .message")]
        return found if len(done) == number else None

    return WebDriverWait(browser, 30).until(all_there)


def drop(browser, *paths):
    """Drop files on the page, as somebody does with a mouse."""
    data = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        place = {"type": kind, "x": 300, "y": 300, "data": data}
        browser.execute_cdp_cmd("Input.dispatchDragEvent", place)


def best_of(folder, path):
    (found,) = load_classifier(folder).predict(path, 4)
    return [(one.label, f"{100 * one.probability:.1f} %") for one in found]


def rows(card):
    found = card.find_elements(By.CSS_SELECTOR, "tbody tr")
    return [tuple(cell.text for cell in row.find_elements(By.TAG_NAME, "td")) for row in found]


def test_an_image_that_is_chosen_gets_its_class(opened, classifier_folder, picture, tmp_path):
    picture(0)
    opened.find_element(By.ID, "files").send_keys(str(tmp_path / "0.png"))
    (card,) = cards(opened, 1)
    expected = best_of(classifier_folder, tmp_path / "0.png")
    assert rows(card) == expected and card.find_element(By.TAG_NAME, "h2").text == "0.png"
    label, share = expected[0]
    assert opened.find_element(By.ID, "status").text == f"0.png: {label}, {share}"
    assert opened.execute_script("return document.querySelector('.card img').naturalWidth") == 20


def test_images_that_are_dropped_get_theirs_and_names_are_no_markup(
    opened, classifier_folder, picture, tmp_path
):
    path = tmp_path / "<b onclick=x>&amp;.png"
    path.write_bytes(picture(3))
    (tmp_path / "broken.png").write_bytes(b"\x89PNG")
    (tmp_path / "large.png").write_bytes(bytes(600_000))
    drop(opened, path, tmp_path / "broken.png", tmp_path / "large.png")
    found = {card.find_element(By.TAG_NAME, "h2").text: card for card in cards(opened, 3)}
    assert rows(found[path.name]) == best_of(classifier_folder, path)
    assert EVIL in {label for label, _ in rows(found[path.name])}
    assert "cannot be read as an image" in found["broken.png"].text
    assert "too large" in found["large.png"].text
    assert opened.find_element(By.ID, "status").text == "3 of 3 images"
    assert opened.title == "et-nas-x: classify images" and opened.current_url.endswith("/")
    said = [entry["message"] for entry in opened.get_log("browser") if "422" not in entry["message"]]
    assert said == []  # neither the policy nor a script had anything to say


def test_it_needs_nothing_from_elsewhere_and_fits_a_phone(opened, picture, tmp_path, served):
    picture(0)
    opened.set_window_size(500, 900)  # the narrowest that Chromium has
    opened.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": True},
    )
    opened.find_element(By.ID, "files").send_keys(str(tmp_path / "0.png"))
    cards(opened, 1)
    assert opened.execute_script("return document.documentElement.scrollWidth") <= 360
    asked = opened.execute_script("return performance.getEntriesByType('resource').map(one => one.name)")
    assert {url for url in asked if not url.startswith(("blob:", "data:"))} == {
        f"{served.url}predict?top_k=5"
    }


def test_a_keyboard_reaches_all_of_it_and_readers_know_what_it_is(opened):
    reached = []
    for _ in range(4):
        ActionChains(opened).send_keys(Keys.TAB).perform()
        reached.append(opened.switch_to.active_element.tag_name)
    assert reached[0] == "input" and "summary" in reached
    field = opened.find_element(By.ID, "files")
    assert field.accessible_name.startswith("Choose images")
    assert opened.find_element(By.ID, "status").aria_role == "status"
    assert opened.find_element(By.TAG_NAME, "html").get_attribute("lang") == "en"


def test_it_says_when_the_server_is_gone(browser, classifier_folder, picture, tmp_path):
    from fixtures.servers import serving

    picture(0)
    with serving(classifier_folder) as server:
        browser.get(server.url)
    browser.find_element(By.ID, "files").send_keys(str(tmp_path / "0.png"))
    (card,) = cards(browser, 1)
    assert "The server does not answer." in card.text
