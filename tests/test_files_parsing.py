"""JSON and YAML of others: values, or an error of one line."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nni_nasoa.files import parse_json, parse_yaml, read_json


@given(st.binary())
def test_any_bytes_are_a_value_or_an_error_of_one_line(data):
    try:
        value, error = parse_json(data), ""
    except ValueError as caught:
        value, error = None, str(caught)
    assert "\n" not in error and len(error) < 200 and (error or json.dumps(value))


@given(st.text())
def test_any_text_is_yaml_or_an_error_of_one_line(text):
    error = ""
    try:
        parse_yaml(text)
    except ValueError as caught:
        error = str(caught)
    assert "\n" not in error and len(error) < 250


@pytest.mark.parametrize(
    "text, right",
    [
        (b"[" * 10**5, "recursion"),
        (b'{"a": -' + b"9" * 5000 + b"}", "digits"),
        (b"\xff", "UTF-8"),
    ],
)
def test_json_that_would_exhaust_python_is_refused(tmp_path, text, right):
    (tmp_path / "a.json").write_bytes(text)
    for call in (lambda: parse_json(text), lambda: read_json(tmp_path / "a.json")):
        with pytest.raises(ValueError, match=right) as error:
            call()
        assert len(str(error.value)) < 250


@pytest.mark.parametrize(
    "text", ["[" * 10**5, "9" * 5000, "1:" * 300 + "0.5", "2026-13-99", "!!int 7x", "? [a]\n: b", "{"]
)
def test_yaml_that_python_cannot_take_is_one_line(text):
    with pytest.raises(ValueError, match=r"^not YAML") as error:
        parse_yaml(text)
    assert str(error.value).isprintable() and len(str(error.value)) < 250
