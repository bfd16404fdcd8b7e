"""Rules for values from outside: what each keeps, what it refuses, and that a refusal is one short line."""

import math
import sys
import time
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nni_nasoa import values
from nni_nasoa.values import (
    ID,
    INPUT_SIZE,
    MAX_MINUTES,
    MAX_TEXT,
    MINUTES,
    NUMBER,
    PART,
    POSITIVE,
    SCALAR,
    SEED,
    SHARE,
    TEXT,
    TIME,
    TRUTH,
    InputError,
    above,
    below,
    check_fields,
    check_given,
    check_names,
    list_of,
    mapping,
    number,
    one_line,
    one_of,
    or_none,
    reason,
    shown,
    suggestion,
    text,
    utc,
    whole,
)

HUGE = 10**400  # no float holds it
MANY_DIGITS = 10**5000  # and Python does not even write this one
RULES = {
    "number": number(-2, 3.5),
    "above": number(above(0), 1, "a number above 0 to 1"),
    "whole": whole(2, 9),
    "whole from": whole(0),
    "one of": one_of(("sgd", "adamw")),
    "text": text("a folder"),
    "mapping": mapping(SHARE),
    "list": list_of(SHARE, "a list of shares"),
    "or none": or_none(SHARE),
    **{
        name: getattr(values, name)
        for name in (
            "ID",
            "INPUT_SIZE",
            "MINUTES",
            "NUMBER",
            "POSITIVE",
            "SCALAR",
            "SECONDS",
            "SEED",
            "TEXT",
            "TIME",
        )
    },
}

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([400, 5000]).map(lambda digits: 10**digits)
    | st.sampled_from([-HUGE, Fraction(1, HUGE), Fraction(HUGE, 3), 1j, object(), b"\x00", Ellipsis])
    | st.floats()
    | st.text()
    | st.text(st.characters(min_codepoint=0, max_codepoint=0x10FFFF))
    | st.sampled_from([np.float32(0.5), np.float64("nan"), np.int8(3), np.bool_(True), np.zeros((2, 2))])
)
anything = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


class RoomError(RuntimeError):
    pass


@given(st.sampled_from(sorted(RULES)), anything)
def test_a_value_is_kept_in_a_form_that_stays_or_refused_in_one_short_line(name, value):
    rule = RULES[name]
    try:
        kept = rule("place", value, RoomError)
    except RoomError as error:
        line = str(error)
        assert line.startswith("place") and line.isprintable() and len(line) < 60 + 100 + 200
        assert not rule.allows(value)
    else:
        assert rule.allows(value)
        assert rule("place", kept) == kept


@given(anything)
def test_a_value_is_shown_on_one_short_line(value):
    assert shown(value).isprintable() and 0 < len(shown(value)) <= 63


@pytest.mark.parametrize(
    "rule, value, kept",
    [
        (number(-2, 3.5), -2, -2.0),
        (number(-2, 3.5), np.float64(3.5), 3.5),
        (number(0, 1), Fraction(1, 2), 0.5),
        (whole(2, 9), np.int16(9), 9),
        (whole(0), 10**30, 10**30),
        (one_of(("sgd", "adamw")), "sgd", "sgd"),
        (text("a folder"), " a\tb ", " a\tb "),
        (or_none(SHARE), None, None),
        (or_none(SHARE), 1, 1.0),
        (mapping(SHARE), {"a": 1}, {"a": 1.0}),
        (list_of(SHARE, "shares"), [0, np.float32(0.5)], (0.0, 0.5)),
        (NUMBER, sys.float_info.max, sys.float_info.max),
        (POSITIVE, math.ulp(0.0), math.ulp(0.0)),
        (MINUTES, MAX_MINUTES, float(MAX_MINUTES)),
        (SEED, 2**63 - 1, 2**63 - 1),
        (INPUT_SIZE, 2048, 2048),
        (TRUTH, False, False),
        (PART, 0.5, 0.5),
        (SCALAR, np.float32(0.5), 0.5),
        (SCALAR, True, True),
        (TEXT, "x" * MAX_TEXT, "x" * MAX_TEXT),
        (ID, "6F9619FF-8B86-4D01-B42D-00CF4FC964FF", "6f9619ff-8b86-4d01-b42d-00cf4fc964ff"),
        (TIME, "2026-01-31T13:00:00+01:00", "2026-01-31T12:00:00.000000+00:00"),
    ],
)
def test_what_is_right_is_kept_in_one_form(rule, value, kept):
    found = rule("place", value)
    assert found == kept and type(found) is type(kept) and rule.allows(value)


@pytest.mark.parametrize(
    "rule, value, line",
    [
        (number(-2, 3.5), 4, "4 is not a number from -2 to 3.5"),
        (number(0, 1), True, "True is not a number from 0 to 1"),
        (number(0, 1), np.bool_(True), "np.True_ is not a number from 0 to 1"),
        (number(0, 1), "0.5", "'0.5' is not a number from 0 to 1"),
        (number(0, 1), math.nan, "nan is not a number from 0 to 1"),
        (number(0, 1), np.float32("nan"), "nan is not a number from 0 to 1"),
        (number(0, 1), np.float64(1.5), "1.5 is not a number from 0 to 1"),
        (number(above(0), below(1), "between 0 and 1"), 0, "0 is not between 0 and 1"),
        (number(above(0), below(1), "between 0 and 1"), 1.0, "1.0 is not between 0 and 1"),
        (NUMBER, HUGE, f"1{'0' * 59}... is not a number"),
        (NUMBER, math.inf, "inf is not a number"),
        (POSITIVE, Fraction(1, HUGE), f"1/1{'0' * 57}... is not a positive number"),
        (whole(2, 9), 2.0, "2.0 is not a whole number from 2 to 9"),
        (whole(2), 1, "1 is not a whole number from 2"),
        (whole(0, 1), False, "False is not a whole number from 0 to 1"),
        (TRUTH, 1, "1 is not a truth value"),
        (TRUTH, np.bool_(True), "np.True_ is not a truth value"),
        (PART, 1, "1 is not between 0 and 1"),
        (SEED, 2**63, "9223372036854775808 is not a whole number from 0 to 2^63 - 1"),
        (MINUTES, 0, "0 is not a number of minutes above 0, up to 525600 (a year)"),
        (one_of(("sgd", "adamw")), "SGD", "'SGD' is not one of sgd, adamw; did you mean 'sgd'?"),
        (one_of(("sgd", "adamw")), "lion", "'lion' is not one of sgd, adamw"),
        (one_of(("sgd", "adamw")), ["sgd"], "['sgd'] is not one of sgd, adamw"),
        (or_none(one_of(("sgd",))), "sdg", "'sdg' is not one of sgd, or null; did you mean 'sgd'?"),
        (text("a folder"), " ", "' ' is not a folder"),
        (text("a folder"), 3, "3 is not a folder"),
        (TEXT, "a\x1b[2J", r"'a\x1b[2J' is not a text of 1 to 500 characters, without control characters"),
        (list_of(SHARE, "three shares", 3, 3), [0, 1], "[0, 1] is not three shares"),
        (list_of(SHARE, "shares"), {0}, "{0} is not shares"),
        (mapping(SHARE, "an object of shares"), [1], "[1] is not an object of shares"),
    ],
)
def test_what_is_wrong_is_said_with_what_would_be_right(rule, value, line):
    with pytest.raises(RoomError) as caught:
        rule("place", value, RoomError)
    assert str(caught.value) == f"place: {line}" and not rule.allows(value)


@pytest.mark.parametrize(
    "rule, value, line",
    [
        (list_of(SHARE, "shares"), [0, 1, 2], "place, entry 3: 2 is not a number from 0 to 1"),
        (mapping(SHARE), {"a": 1, "b": -1}, "place, 'b': -1 is not a number from 0 to 1"),
        (mapping(SHARE), {1: 1}, "place: 1 is not a text of 1 to 500"),
        (mapping(list_of(SHARE, "shares")), {"a": [2]}, "place, 'a', entry 1: 2 is not"),
    ],
)
def test_what_is_wrong_deeper_is_said_with_its_place(rule, value, line):
    with pytest.raises(RoomError) as caught:
        rule("place", value, RoomError)
    assert str(caught.value).startswith(line) and not rule.allows(value)


def test_a_number_that_python_does_not_write_is_refused_as_others_are():
    with pytest.raises(RoomError, match=r"^place: something of type int is not a number$"):
        NUMBER("place", MANY_DIGITS, RoomError)


def test_without_another_error_it_is_an_input_error():
    with pytest.raises(InputError, match=r"^place: 2 is not a number from 0 to 1$"):
        SHARE("place", 2)
    assert issubclass(InputError, ValueError)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_nothing_lies_between_a_number_and_the_one_above_it(edge):
    assert not number(above(edge), math.inf, "larger").allows(edge)
    assert number(edge, math.inf).allows(edge) and not number(-math.inf, below(edge)).allows(edge)
    if edge < sys.float_info.max:
        assert number(above(edge), math.inf, "larger").allows(math.nextafter(edge, math.inf))


# -- names --


def test_an_unknown_name_is_said_with_the_one_that_may_have_been_meant():
    known = {"minutes": 1, "dataset": 2}
    check_names("args", ["minutes", "dataset"], known)
    for given_, line in (
        (["minuts"], "args: no field 'minuts'; did you mean 'minutes'?"),
        (["MINUTES"], "args: no field 'MINUTES'; did you mean 'minutes'?"),
        (["minutes", "x"], "args: no field 'x'; there are minutes, dataset"),
        ([3], "args: no field 3; there are minutes, dataset"),
        (["a\nb" * 100], "args: no field '" + ("a\\nb" * 15)[:59] + "...; there are minutes, dataset"),
    ):
        with pytest.raises(RoomError) as caught:
            check_names("args", given_, known, RoomError)
        assert str(caught.value) == line
    with pytest.raises(RoomError, match=r"^args: unknown argument 'x'; there are "):
        check_names("args", ["x"], known, RoomError, unknown="unknown argument")


def test_several_close_names_are_suggested_as_a_sentence_has_them():
    known = ["nano-a", "nano-b", "nano-c", "resnet18"]
    assert suggestion("nano-x", known, most=3) == "did you mean 'nano-c', 'nano-b' or 'nano-a'?"
    assert suggestion("nano-x", known, most=2) == "did you mean 'nano-c' or 'nano-b'?"
    assert suggestion("vgg", known, "see `nasoa zoo list`") == "see `nasoa zoo list`"
    assert suggestion("vgg", ["a", "b"]) == "there are a, b"


# -- fields of a value --


@dataclass(frozen=True)
class Settings:
    share: float
    name: str = "a"

    def __post_init__(self):
        check_fields(self, {"share": SHARE, "name": TEXT}, RoomError)


def test_fields_of_a_value_are_kept_as_their_rules_give_them():
    settings = Settings(np.float32(0.5))
    assert type(settings.share) is float and settings == Settings(0.5)
    with pytest.raises(RoomError, match=r"^name: '' is not a text"):
        Settings(1, "")


def test_a_missing_name_is_said_with_what_it_is():
    rules = {"share": SHARE, "name": text("the name of a model")}
    check_given({"share": 1, "name": 2, "more": 3}, rules)
    with pytest.raises(RoomError, match=r"^card: name: is missing; it is the name of a model$"):
        check_given({"share": 1}, rules, RoomError, "card: ")


# -- texts and times --


@given(st.text() | st.builds(ValueError, st.text()), st.integers(10, 600))
def test_any_text_becomes_one_line(given_, most):
    line = one_line(given_, most)
    assert len(line) <= most and "\n" not in line and (not line or TEXT.allows(line) or len(line) > MAX_TEXT)


def test_an_error_without_a_message_is_named():
    assert (
        one_line(KeyError()) == "KeyError" and one_line(ValueError("a\n b")) == "a b" and one_line("") == ""
    )
    assert one_line("x" * 20, 10) == "xxxxxxx..."


def test_why_a_file_could_not_be_had_is_said_without_its_name_and_number():
    assert reason(FileNotFoundError(2, "No such file or directory", "a")) == "No such file or directory"
    assert reason(OSError("the file\n is empty")) == "the file is empty" and reason(OSError()) == "OSError"
    assert reason(ValueError("x" * 1000)) == "x" * 197 + "..."


class Loud:
    def __repr__(self):
        raise RuntimeError("no")


def test_what_cannot_be_written_is_named_by_its_type():
    nested = []
    for _ in range(10**5):
        nested = [nested]
    assert shown(Loud()) == "something of type Loud" and shown([Loud()]) == "something of type list"
    assert shown(nested) == "[[[[[...]]]]]"
    assert shown(np.zeros((2, 2))) == "array([[0., 0.],        [0., 0.]])"


def test_what_is_shown_of_a_value_costs_little_however_large_it_is():
    laugh = ["ha"] * 10
    for _ in range(30):  # as aliases in YAML make it: 10^31 texts
        laugh = [laugh] * 10
    begin = time.monotonic()
    assert shown({"a": laugh}).startswith("{'a': [[[") and len(shown({"a": laugh})) <= 63
    assert shown("x" * 10**7) == "'" + "x" * 59 + "..." and shown([0] * 10**6).startswith("[0, 0, 0")
    assert time.monotonic() - begin < 5


@given(st.datetimes(timezones=st.timezones()))
def test_times_are_kept_in_utc_and_stay_so(time):
    kept = utc(time)
    if kept is not None:  # at the ends of the calendar there is none in UTC
        assert utc(kept) == kept and TIME("created", kept) == kept
    assert utc(time.replace(tzinfo=None)) is None


def test_the_present_time_is_kept_as_it_is():
    time = values.now()
    assert TIME("created", time) == time <= values.now()
