"""A store's password, apart from where the store is."""

import pytest

from nni_nasoa.advisor import ExperienceStore, StoreError
from nni_nasoa.experience.location import without_password


@pytest.mark.parametrize(
    "location, rest, password",
    [
        ("runs.db", "runs.db", None),
        ("a:b@c", "a:b@c", None),
        ("sqlite:///runs.db", "sqlite:///runs.db", None),
        ("postgresql://server/runs", "postgresql://server/runs", None),
        ("postgresql://me@server/runs?sslmode=require", "postgresql://me@server/runs?sslmode=require", None),
        ("postgresql://me:s3%3Acret@server/runs", "postgresql://me@server/runs", "s3:cret"),
        ("postgresql://me:@server/runs", "postgresql://me@server/runs", None),
        ("postgresql://me:s3@cret@server/runs", "postgresql://me@server/runs", "s3@cret"),
        ("postgresql://me@server/runs?password=s3cret", "postgresql://me@server/runs", "s3cret"),
        ("postgresql://server/runs?Passwd=s3cret&user=me", "postgresql://server/runs?user=me", "s3cret"),
    ],
)
def test_it_is_taken_out_of_a_url(location, rest, password):
    assert without_password(location) == (rest, password)
    assert without_password(rest) == (rest, None)


def test_one_of_the_environment_is_in_no_message(monkeypatch):
    """Where a server's answer has it in it, say."""
    monkeypatch.setenv("PGPASSWORD", "refused")
    with pytest.raises(StoreError) as error:
        ExperienceStore("postgresql://me@127.0.0.1:1/runs")
    assert "***" in str(error.value) and "refused" not in str(error.value)
