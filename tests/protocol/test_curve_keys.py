"""Keys as text: read back as written, and anything else refused without being repeated."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octree_protocol.curve_keys import (
    Key,
    KeyTextError,
    check_key_name,
    check_public_key,
    fingerprint,
    format_key,
    key_folder,
    parse_key,
)

PUBLIC = "Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID"
SECRET = "D:)Q[IlAW!ahhC2ac:9*A}h:p?([4%wOTJ%JR%cs"


@pytest.mark.parametrize("secret", ["", SECRET])
def test_a_key_is_read_back_as_it_was_written(secret: str) -> None:
    key = Key("alice", PUBLIC, secret)
    text = format_key(key)
    assert parse_key(text) == key
    assert ("Keep it to yourself" in text) == bool(secret)


@given(st.text(max_size=200))
def test_any_text_is_a_key_or_refused(text: str) -> None:
    try:
        parse_key(text)
    except KeyTextError:
        pass


@pytest.mark.parametrize(
    "text",
    [
        "",
        "public-key short",
        f"public-key {PUBLIC}\npublic-key {PUBLIC}",
        f"public-key {PUBLIC}\nsecret-key {SECRET}x",
        f"public-key {PUBLIC}\nexec rm",
        f"name a/b\npublic-key {PUBLIC}",
    ],
)
def test_what_is_no_key_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(KeyTextError) as caught:
        parse_key(text)
    assert SECRET not in str(caught.value)


def test_names_and_public_keys_are_checked() -> None:
    assert check_public_key(PUBLIC) == PUBLIC
    assert check_key_name("alice@lab-3") == "alice@lab-3"
    for name in ("", "../x", ".x", "a b", "a\n", "x" * 65):
        with pytest.raises(KeyTextError):
            check_key_name(name)
    for key in (PUBLIC[1:], PUBLIC + "a", PUBLIC[:-1] + '"'):
        with pytest.raises(KeyTextError):
            check_public_key(key)


def test_fingerprints_differ_and_say_nothing_else() -> None:
    assert fingerprint(PUBLIC) != fingerprint(SECRET)
    assert fingerprint(PUBLIC).startswith("SHA256:")
    assert PUBLIC not in fingerprint(PUBLIC)


def test_the_folder_is_the_users() -> None:
    assert key_folder({"XDG_CONFIG_HOME": "/c/"}) == "/c/octree-serve"
    assert key_folder({"XDG_CONFIG_HOME": "not/absolute"}).endswith("/.config/octree-serve")
