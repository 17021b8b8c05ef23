"""Sealing: what is sealed opens only where it was sealed, survives rotations, and dies with its keys."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator

import pytest
from flask import Flask
from sqlalchemy import text

from blossom.platform import crypto, db
from blossom.platform.crypto import SealedValueError
from blossom.platform.db import session, transaction
from tests.conftest import MASTER_KEY
from tests.factories.contacts import create_contact
from tests.factories.shops import create_shop
from tests.personas import Personas

PHONE = "+306912345678"
NEXT_MASTER_KEY = bytes(reversed(range(32)))


@pytest.fixture(autouse=True)
def _the_tests_own_master_key() -> Iterator[None]:
    crypto.init({1: MASTER_KEY})
    yield
    crypto.init({1: MASTER_KEY})


def sealed_phone(shop_id: int, value: str = PHONE) -> bytes:
    sealed = crypto.for_shop(shop_id).seal(value, "phone")
    assert sealed is not None
    return sealed


def opened(shop_id: int, sealed: bytes | None, purpose: str = "phone") -> str | None:
    return crypto.for_shop(shop_id).open(sealed, purpose)


# Sealing and opening


@pytest.mark.parametrize("value", [PHONE, "", "Ελένη Παπαδοπούλου", "👩‍👩‍👧", "a" * 10_000, "\0"])
def test_what_is_sealed_opens_again(personas: Personas, value: str) -> None:
    sealed = sealed_phone(personas.ours.id, value)
    assert opened(personas.ours.id, sealed) == value
    assert len(value) < 5 or value.encode() not in sealed


def test_nothing_stays_nothing(personas: Personas) -> None:
    cipher = crypto.for_shop(personas.ours.id)
    assert cipher.seal(None, "phone") is None
    assert cipher.open(None, "phone") is None


def test_the_same_value_is_never_sealed_the_same(personas: Personas) -> None:
    assert sealed_phone(personas.ours.id) != sealed_phone(personas.ours.id)


def test_another_shop_does_not_open_it(personas: Personas) -> None:
    sealed = sealed_phone(personas.ours.id)
    with pytest.raises(SealedValueError):
        opened(personas.theirs.id, sealed)


def test_another_shop_does_not_open_it_with_the_right_key_either(personas: Personas) -> None:
    """The shop is authenticated, not only the key chosen by it."""
    key = os.urandom(32)
    ours = crypto.ShopCipher(personas.ours.id, {5: key}, key)
    theirs = crypto.ShopCipher(personas.theirs.id, {5: key}, key)
    sealed = ours.seal(PHONE, "phone")
    assert ours.open(sealed, "phone") == PHONE
    with pytest.raises(SealedValueError):
        theirs.open(sealed, "phone")


def test_another_purpose_does_not_open_it(personas: Personas) -> None:
    with pytest.raises(SealedValueError):
        opened(personas.ours.id, sealed_phone(personas.ours.id), "email")


def test_one_altered_bit_anywhere_keeps_it_shut(personas: Personas) -> None:
    sealed = sealed_phone(personas.ours.id)
    for place in range(len(sealed)):
        altered = bytearray(sealed)
        altered[place] ^= 1
        with pytest.raises(SealedValueError):
            opened(personas.ours.id, bytes(altered))


@pytest.mark.parametrize("length", [0, 1, 4, 5, 16, 17, 20, 32])
def test_a_value_cut_short_is_refused(personas: Personas, length: int) -> None:
    with pytest.raises(SealedValueError):
        opened(personas.ours.id, sealed_phone(personas.ours.id)[:length])


def test_a_refusal_tells_no_value(personas: Personas) -> None:
    with pytest.raises(SealedValueError) as caught:
        opened(personas.theirs.id, sealed_phone(personas.ours.id))
    assert PHONE not in str(caught.value)


def test_a_model_reads_and_writes_plain_text_over_a_sealed_column(personas: Personas) -> None:
    contact = create_contact(personas.ours, phone=PHONE, first_name="Ελένη")
    session.expire_all()
    stored = session.execute(text("SELECT phone_sealed, first_name_sealed FROM contacts")).one()
    assert (contact.phone, contact.first_name) == (PHONE, "Ελένη")
    assert PHONE.encode() not in stored.phone_sealed
    assert opened(personas.ours.id, stored.phone_sealed) == PHONE


# Lookups


def test_a_lookup_is_the_same_each_time_and_another_in_another_shop(personas: Personas) -> None:
    ours, theirs = crypto.for_shop(personas.ours.id), crypto.for_shop(personas.theirs.id)
    assert ours.lookup(PHONE) == ours.lookup(PHONE)
    assert len(ours.lookup(PHONE)) == crypto.HASH_BYTES
    assert ours.lookup(PHONE) != ours.lookup(PHONE + "0")
    assert ours.lookup(PHONE) != theirs.lookup(PHONE)


def test_a_lookup_outlives_rotations_and_a_new_master_key(personas: Personas) -> None:
    before = crypto.for_shop(personas.ours.id).lookup(PHONE)
    crypto.rotate_data_key(personas.ours.id)
    crypto.init({2: NEXT_MASTER_KEY, 1: MASTER_KEY})
    crypto.rewrap(personas.ours.id)
    assert crypto.for_shop(personas.ours.id).lookup(PHONE) == before


# Rotation


def test_after_a_rotation_old_values_open_and_new_ones_are_sealed_by_the_new_key(personas: Personas) -> None:
    old = sealed_phone(personas.ours.id)
    crypto.rotate_data_key(personas.ours.id)
    new, cipher = sealed_phone(personas.ours.id), crypto.for_shop(personas.ours.id)
    assert opened(personas.ours.id, old) == opened(personas.ours.id, new) == PHONE
    assert cipher.key_id(old) < cipher.key_id(new) == cipher.current_key_id


def test_a_cipher_made_before_a_rotation_opens_what_was_sealed_after_it(personas: Personas) -> None:
    """Another process may have rotated; a cipher is kept for a minute."""
    before = crypto.for_shop(personas.ours.id)
    crypto.rotate_data_key(personas.ours.id)
    assert before.open(sealed_phone(personas.ours.id), "phone") == PHONE


def test_a_rotation_of_ours_leaves_theirs_alone(personas: Personas) -> None:
    before = crypto.for_shop(personas.theirs.id).current_key_id
    crypto.rotate_data_key(personas.ours.id)
    assert crypto.for_shop(personas.theirs.id).current_key_id == before


# The master key


def test_under_a_new_master_key_all_opens_once_rewrapped(personas: Personas) -> None:
    sealed = sealed_phone(personas.ours.id)
    crypto.init({2: NEXT_MASTER_KEY, 1: MASTER_KEY})
    assert opened(personas.ours.id, sealed) == PHONE, "while both are there, either opens"
    assert crypto.rewrap(personas.ours.id) == 2, "the data key and the lookup key"
    assert crypto.rewrap(personas.ours.id) == 0
    crypto.init({2: NEXT_MASTER_KEY})
    assert opened(personas.ours.id, sealed) == PHONE


def test_without_its_master_key_nothing_opens(personas: Personas) -> None:
    crypto.init({2: NEXT_MASTER_KEY})
    with pytest.raises(SealedValueError, match="master key 1 is not among"):
        crypto.for_shop(personas.ours.id)


def test_another_master_key_under_the_same_id_is_found_out(personas: Personas) -> None:
    crypto.init({1: NEXT_MASTER_KEY})
    with pytest.raises(SealedValueError, match="wrapped by another master key"):
        crypto.for_shop(personas.ours.id)


def test_a_wrapped_key_moved_to_another_shop_does_not_open(personas: Personas) -> None:
    session.execute(
        text("""
            UPDATE shop_keys t SET wrapped = o.wrapped FROM shop_keys o
            WHERE t.shop_id = :theirs AND o.shop_id = :ours AND t.use = o.use
        """),
        {"ours": personas.ours.id, "theirs": personas.theirs.id},
    )
    session.expire_all()
    crypto.init({1: MASTER_KEY})
    with pytest.raises(SealedValueError):
        crypto.for_shop(personas.theirs.id)


def test_without_any_master_key_no_shop_gets_keys(app: Flask) -> None:
    crypto.init({})
    with pytest.raises(RuntimeError, match="BLOSSOM_MASTER_KEYS"):
        create_shop()


# The end


def test_with_its_keys_destroyed_nothing_of_the_shop_opens_ever_again(personas: Personas) -> None:
    ours, theirs = sealed_phone(personas.ours.id), sealed_phone(personas.theirs.id)
    crypto.destroy_shop_keys(personas.ours.id)
    with pytest.raises(SealedValueError, match="has no keys"):
        opened(personas.ours.id, ours)
    crypto.create_shop_keys(personas.ours.id)
    with pytest.raises(SealedValueError):
        opened(personas.ours.id, ours)
    assert opened(personas.theirs.id, theirs) == PHONE


# The cache


def count_reads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    reads: list[int] = []
    original = crypto._read_cipher

    def reading(shop_id: int) -> crypto.ShopCipher:
        reads.append(shop_id)
        return original(shop_id)

    monkeypatch.setattr(crypto, "_read_cipher", reading)
    return reads


def test_keys_are_read_once_a_minute(committed_app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    with transaction():
        shop_id = create_shop().id
    reads = count_reads(monkeypatch)
    now = [1000.0]
    monkeypatch.setattr(crypto.time, "monotonic", lambda: now[0])
    for _ in range(3):
        crypto.for_shop(shop_id)
    assert reads == [shop_id]
    now[0] += crypto._CACHE_SECONDS + 1
    crypto.for_shop(shop_id)
    assert reads == [shop_id, shop_id]
    crypto.forget(shop_id)
    crypto.for_shop(shop_id)
    assert len(reads) == 3


def test_keys_destroyed_by_another_process_are_forgotten_within_a_minute(
    committed_app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    with transaction():
        shop_id = create_shop().id
    now = [1000.0]
    monkeypatch.setattr(crypto.time, "monotonic", lambda: now[0])
    crypto.for_shop(shop_id)
    with transaction():
        session.execute(text("DELETE FROM shop_keys"))
    now[0] += 61
    with pytest.raises(SealedValueError):
        crypto.for_shop(shop_id)


def test_a_rotation_that_is_rolled_back_seals_nothing_afterwards(committed_app: Flask) -> None:
    """Or else a value would be sealed under a key that never was."""
    with transaction():
        shop_id = create_shop().id
    before = crypto.for_shop(shop_id).current_key_id
    with contextlib.suppress(ZeroDivisionError), transaction():
        crypto.rotate_data_key(shop_id)
        assert crypto.for_shop(shop_id).current_key_id > before
        raise ZeroDivisionError
    assert crypto.for_shop(shop_id).current_key_id == before


def test_a_rotation_whose_savepoint_is_rolled_back_seals_nothing_afterwards(committed_app: Flask) -> None:
    with transaction():
        shop_id = create_shop().id
    before = crypto.for_shop(shop_id).current_key_id
    with transaction():
        with contextlib.suppress(ZeroDivisionError), session.begin_nested():
            crypto.rotate_data_key(shop_id)
            crypto.for_shop(shop_id)
            raise ZeroDivisionError
        assert crypto.for_shop(shop_id).current_key_id == before


def test_keys_not_yet_committed_are_kept_from_other_threads(committed_app: Flask) -> None:
    with transaction():
        shop_id = create_shop().id
    before = crypto.for_shop(shop_id).current_key_id
    seen: list[int] = []

    def elsewhere() -> None:
        with committed_app.app_context(), transaction():
            seen.append(crypto.for_shop(shop_id).current_key_id)

    def look() -> None:
        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()

    with transaction():
        crypto.rotate_data_key(shop_id)
        with session.begin_nested():
            after = crypto.for_shop(shop_id).current_key_id
        look()
    look()
    assert seen == [before, after]
    db.session.remove()


def test_keys_of_a_committed_rotation_are_used_at_once(committed_app: Flask) -> None:
    with transaction():
        shop_id = create_shop().id
    before = crypto.for_shop(shop_id).current_key_id
    with transaction():
        crypto.rotate_data_key(shop_id)
    assert crypto.for_shop(shop_id).current_key_id > before
