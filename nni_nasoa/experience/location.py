"""Where a store is, as a user says it: a file or a URL, and the password apart from it."""

from __future__ import annotations

import os
import re
from urllib.parse import unquote

PASSWORD_BY = "set PGPASSWORD, or write it into ~/.pgpass"  # both are PostgreSQL's own
_IN_QUERY = re.compile(r"(?i)(?<=[?&])pass\w*=([^&]*)&?")


def without_password(location: str | os.PathLike[str]) -> tuple[str, str | None]:
    """A store's location without the password that may stand in its URL, and that password.

    What is printed, written down or handed to another program is the first one.
    """
    location, password = os.fspath(location), None
    scheme, separator, rest = location.partition("://")
    if not separator:
        return location, None
    user, at, place = rest.rpartition("@")  # the password ends at the last @
    name, colon, given = user.partition(":")
    if at and colon:
        password, rest = unquote(given), f"{name}@{place}"
    if found := _IN_QUERY.search(rest):
        password, rest = password or unquote(found[1]), _IN_QUERY.sub("", rest).rstrip("?&")
    return f"{scheme}://{rest}", password or None
