"""NNI's real web UI, in headless Chromium, while a search runs."""

import json
import re
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
import yaml
from selenium.common.exceptions import StaleElementReferenceException, TimeoutException
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from nni_nasoa.plugin.assignment import CHOSEN
from nni_nasoa.plugin.experiments import read_results

CONFIGS = Path(__file__).parents[2] / "experiment_configs"
AXES = ".parcoords .dimension .label"
MEASURED = (
    "default",
    "accuracy",
    "relative_speed",
    "throughput",
    "step_time_ms",
    "reference_step_time_ms",
    "params_m",
    "gmacs",
)

pytestmark = pytest.mark.slow


@pytest.fixture
def experiment(nnictl):
    """search.yml as it is, but for its length: it must still run when it is looked at."""
    config = yaml.safe_load((CONFIGS / "search.yml").read_text())
    config["trialCodeDirectory"] = config["tuner"]["codeDirectory"] = str(CONFIGS)
    running = nnictl.create(config | {"maxTrialNumber": 500, "maxExperimentDuration": "10m"})
    yield running
    running.stop()


def wait(browser, condition, timeout=60):
    """Wait until condition() is true while the page redraws itself."""
    return WebDriverWait(browser, timeout, ignored_exceptions=[StaleElementReferenceException]).until(
        lambda _: condition()
    )


def text_of(browser):
    return browser.find_element(By.TAG_NAME, "body").text


def drop_down(browser, shown):
    """The drop-down that shows this option."""
    boxes = browser.find_elements(By.CSS_SELECTOR, "[role=combobox]")
    return next(
        (box for box in boxes if box.find_element(By.CSS_SELECTOR, ".ms-Dropdown-title").text == shown), None
    )


def axes(browser, port, expected):
    """The axes of the hyper-parameter plot; what it shows in the end where it never shows those expected."""
    browser.get(f"http://127.0.0.1:{port}/detail")
    shown = set()

    def tab():
        tabs = browser.find_elements(By.CSS_SELECTOR, "[role=tab]")
        return next((tab for tab in tabs if "Hyper" in tab.text), None)

    def drawn():
        nonlocal shown
        shown = {label.text for label in browser.find_elements(By.CSS_SELECTOR, AXES)}
        return shown == expected

    # Now and then NNI's page draws nothing, or not what is measured, until it is loaded once more.
    for _ in range(3):
        wait(browser, tab).click()
        with suppress(TimeoutException):
            wait(browser, drawn, 30)
            break
        browser.refresh()
    return shown


def test_web_ui_shows_the_search(experiment, browser):
    def results():
        return experiment.rest("/metric-data?type=FINAL")

    experiment.wait(lambda: len(results()) >= 2, timeout=420)

    browser.get(f"http://127.0.0.1:{experiment.port}/oview")
    wait(browser, lambda: "nasoa joint search, digits" in text_of(browser))
    wait(browser, lambda: "SUCCEEDED" in text_of(browser))  # among the top trials
    overview = text_of(browser)
    assert experiment.id in overview and "RUNNING" in overview and "EvolutionTuner" in overview
    assert "/500" in overview and "Default metric" in overview

    browser.get(f"http://127.0.0.1:{experiment.port}/detail")
    wait(browser, lambda: drop_down(browser, "default"))
    detail = text_of(browser)
    for trial in {result["trialJobId"] for result in results()[:2]}:
        assert trial in detail
    assert "(FINAL)" in detail  # the default metric, in the list of trials

    # Nobody takes the score for an accuracy, before the end or after it, and it is of one kind.
    shown = [float(cell) for cell in re.findall(r"([\d.]+) \((?:FINAL|LATEST)\)", detail)]
    assert shown and min(shown) > 100
    first = results()[0]["trialJobId"]
    told = [json.loads(json.loads(one["data"])) for one in experiment.rest(f"/metric-data/{first}")]
    assert len({metrics["relative_speed"] for metrics in told}) == 1 and len(told) > 1

    # The hyper-parameter plot has an axis for what varies alone: choices, the network's name, measurements.
    space = yaml.safe_load((CONFIGS / "search.yml").read_text())["searchSpace"]
    assert all(len(choice["_value"]) > 1 for choice in space.values())
    expected = {*space, "architecture", *MEASURED}
    assert axes(browser, experiment.port, expected) == expected
    browser.find_element(By.CSS_SELECTOR, "[role=tab]").click()
    wait(browser, lambda: drop_down(browser, "default"))

    # The other metrics are under the drop-down of the default metric's page, and each can be drawn.
    drop_down(browser, "default").click()
    wait(
        browser,
        lambda: (
            {"default", "accuracy", "relative_speed", "step_time_ms", "params_m"}
            <= {option.text for option in browser.find_elements(By.CSS_SELECTOR, "[role=option]")}
        ),
    )
    for metric, shown in (("accuracy", "default"), ("relative_speed", "accuracy")):
        if not browser.find_elements(By.CSS_SELECTOR, "[role=option]"):
            drop_down(browser, shown).click()
        option = wait(
            browser,
            lambda metric=metric: [
                option
                for option in browser.find_elements(By.CSS_SELECTOR, "[role=option]")
                if option.text == metric
            ],
        )
        option[0].click()
        wait(browser, lambda metric=metric: drop_down(browser, metric))
        time.sleep(1)  # a wrong key would break the page when it draws
        assert "Trial jobs" in text_of(browser) and browser.find_elements(By.CSS_SELECTOR, "canvas")
    assert experiment.status == "RUNNING"


def test_the_plot_of_the_advice_has_axes_for_choices_and_measurements(nnictl, browser, tmp_path):
    config = yaml.safe_load((CONFIGS / "finetune.yml").read_text())
    config["trialCommand"] = config["trialCommand"].replace("python", sys.executable, 1)
    config["trialCodeDirectory"] = config["tuner"]["codeDirectory"] = str(tmp_path)
    config["tuner"]["classArgs"] |= {
        "minutes": 0.2,
        "alternatives": 2,
        "zoo": "nano-a,nano-b",
        "device": "cpu",
        "store": str(tmp_path / "store.db"),
    }
    experiment = nnictl.create(config)
    experiment.wait(lambda: len(experiment.rest("/metric-data?type=FINAL")) >= 2, timeout=400)
    expected = {"run", "context", *CHOSEN, "default", "accuracy", "seconds", "epochs"}
    assert axes(browser, experiment.port, expected) == expected
    # What has no axis is in the results all the same.
    for result in read_results(experiment.folder):
        assert result["dataset"] == "digits" and result["outcome"] and json.loads(result["record"])
    experiment.stop()
