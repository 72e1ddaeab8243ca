"""What is sealed opens with its key, in its place, undamaged, and not otherwise."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.sealing import KeyRing, SealBroken, format_key_ring, make_key, parse_key_ring, seal, unseal

RING = KeyRing({"k1": bytes(range(32)), "k0": bytes(32)})


@given(st.binary(max_size=300), st.text(max_size=40).filter(lambda t: t.isprintable()))
def test_what_is_sealed_is_read_back(plaintext: bytes, context: str) -> None:
    assert unseal(RING, seal(RING, plaintext, context), context) == plaintext


def test_the_same_text_never_seals_to_the_same_bytes() -> None:
    assert len({seal(RING, b"x", "c") for _ in range(50)}) == 50


def test_every_damaged_or_missing_byte_is_noticed() -> None:
    sealed = seal(RING, b"secret", "enterprise/1/personal")
    for place in range(len(sealed)):
        damaged = bytearray(sealed)
        damaged[place] ^= 1
        for broken in (bytes(damaged), sealed[:place]):
            with pytest.raises(SealBroken):
                unseal(RING, broken, "enterprise/1/personal")


def test_a_sealed_text_opens_nowhere_else() -> None:
    with pytest.raises(SealBroken):
        unseal(RING, seal(RING, b"secret", "enterprise/1/personal"), "enterprise/2/personal")


def test_a_former_key_still_opens_and_the_first_one_seals() -> None:
    old = KeyRing({"k0": bytes(32)})
    sealed = seal(old, b"secret", "c")
    assert unseal(RING, sealed, "c") == b"secret"
    with pytest.raises(SealBroken):
        unseal(old, seal(RING, b"secret", "c"), "c")


def test_a_key_file_is_read_back() -> None:
    ring = KeyRing(dict([make_key(), make_key()]))
    assert parse_key_ring(f"# comment\n\n{format_key_ring(ring)}") == ring
    for key in ring.keys.values():
        assert repr(key) not in repr(ring)


@pytest.mark.parametrize(
    "text",
    ["", "# nothing", "k1", "k1:", ":AAAA", "k1:not base64", "k1:AAAA", format_key_ring(RING) * 2],
    ids=["empty", "a comment", "no key", "an empty key", "no id", "no base64", "too short", "an id twice"],
)
def test_what_is_no_key_file_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_key_ring(text)
