"""Columns of tables: found by usual names, named in a dataset's spelling."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nni_nasoa.data import DatasetError
from nni_nasoa.data.columns import ANY, Columns, parsed, respelled, spelled

NAMES = st.text(st.characters(exclude_categories=("Cc", "Cs")), min_size=1, max_size=20).filter(str.strip)


@given(
    st.builds(Columns, *[st.none() | NAMES] * 3),
    st.sampled_from(["a.csv", "/x/my#set.csv", "b#label.csv", "0?.tar"]),
)
def test_what_is_spelled_is_parsed(columns, source):
    assert parsed(spelled(source, columns)) == (source, columns)
    assert parsed(source) == (source, ANY)
    assert parsed(respelled(spelled(source, Columns("p", "l")), columns)) == (
        source,
        Columns("p", "l").but(columns),
    )


@pytest.mark.parametrize("text", ["a.csv?label=", "a.csv?label=x,kind=y", "a.csv?path=x,,label=y"])
def test_other_spellings_are_one_clear_line(text):
    with pytest.raises(DatasetError, match=r"is not spelled as 'FILE\?path=COLUMN,label="):
        parsed(text)


@pytest.mark.parametrize(
    "given, message",
    [
        ("label", "columns: 'label' is not an object with path, label and part"),
        ({"labels": "x"}, r"columns: no field 'labels'; did you mean 'label'\?"),
        ({"label": 3}, "columns, label: 3 is not a text"),
        (Columns(label=""), "columns, label: '' is not a text"),
    ],
)
def test_what_they_cannot_be_is_one_line(given, message):
    with pytest.raises(DatasetError, match=message):
        Columns.of(given)


def test_names_are_found_whatever_their_case_and_spaces():
    there = ["Image File", "LABEL", "Split", "x"]
    assert [Columns().found(name, there)[0] for name in Columns._fields] == there[:3]
    assert Columns().found("part", ["x"]) == (None, None)
