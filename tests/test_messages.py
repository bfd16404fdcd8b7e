from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from nni_nasoa.messages import MAX_LISTED, cut_in_the_middle, quoted, some


@given(st.text(), st.integers(5, 60))
def test_a_text_that_is_cut_has_its_beginning_and_its_end(text, most):
    cut = cut_in_the_middle(text, most)
    assert len(cut) == min(len(text), most) and (cut == text or "..." in cut)
    assert cut[:1] == text[:1] and cut[-1:] == text[-1:]


@given(st.lists(st.text(max_size=900)), st.integers(1, 30))
def test_many_names_become_one_line_that_says_how_many_there_are(names, most):
    line = some(quoted(names), most)
    assert len(line) <= MAX_LISTED + len(" and 1000 more") and "\n" not in line


@given(st.lists(st.text("ab", min_size=1, max_size=300)), st.integers(1, 30))
def test_names_that_are_left_out_are_counted(names, most):
    line, _, more = some(names, most).partition(" and ")
    named = line.split(", ") if line else []
    assert named == names[: len(named)] and len(named) <= most
    assert int(more.removesuffix(" more") or 0) == len(names) - len(named)


def test_names_beyond_the_first_are_counted():
    assert some(list("abcdef"), 2) == "a, b and 4 more" and some(list("ab"), 2) == "a, b"
    assert some(quoted(["a\x1b[2J", "b" * 400])) == r"'a\x1b[2J' and 1 more"
