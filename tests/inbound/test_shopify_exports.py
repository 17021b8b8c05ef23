"""`bulk_operations/finish`, as it comes over HTTP: ours, twice, late, and in another shop's name."""

from __future__ import annotations

from typing import Any

from blossom.customers import queries
from blossom.customers import service as sync
from blossom.customers.rules import ImportState, Progress
from blossom.platform import db
from tests.factories.shops import create_shop
from tests.faults.processes import until
from tests.inbound.merchant import Merchant, ends, merchant, running

__all__ = ["merchant", "running"]


def an_export_is_under_way(merchant: Merchant) -> dict[str, Any]:
    """Shopify's webhook of its end, which has not reached us."""
    merchant.add(first_name="Eleni", phone="+306984303406")
    merchant.news()
    with db.transaction():
        sync.ask_import(merchant.shop_id)
    sync.run_imports()
    assert progress(merchant).state is ImportState.EXPORTING
    until(lambda: merchant.stand_in.webhooks()[merchant.told :], "the end of the export")
    (told,) = merchant.news()
    assert told["topic"] == "bulk_operations/finish"
    return told


def progress(merchant: Merchant) -> Progress:
    found = queries.latest_import(merchant.shop_id)
    assert found is not None
    return found


def test_the_end_of_our_export_brings_the_import_on_at_once_and_told_twice_it_is_one(merchant: Merchant) -> None:
    told = an_export_is_under_way(merchant)
    assert sync.run_imports() == 0, "it would be looked at in a second"
    merchant.tell([told, told])
    assert ends()[-1] == ("bulk_operations/finish", "done", "applied")
    assert len(ends()) == 1
    sync.run_imports()
    assert (progress(merchant).state, progress(merchant).created) == (ImportState.COMPLETED, 1)


def test_the_end_of_an_export_that_comes_late_again_or_of_no_import_changes_nothing(merchant: Merchant) -> None:
    told = an_export_is_under_way(merchant)
    merchant.tell([told])
    sync.run_imports()
    done = progress(merchant)
    merchant.tell([{**told, "webhook_id": "another-of-it"}])
    merchant.tell([{**told, "webhook_id": "no-id", "body": {**told["body"], "admin_graphql_api_id": None}}])
    assert [each[2] for each in ends()] == ["applied", "known_already", "known_already"]
    assert progress(merchant) == done
    assert sync.run_imports() == 0


def test_the_end_of_an_export_in_another_shop_s_name_brings_nothing_on(merchant: Merchant) -> None:
    told = an_export_is_under_way(merchant)
    create_shop(domain="theirs.myshopify.com")
    db.session.commit()
    merchant.tell([{**told, "shop": "theirs.myshopify.com"}])
    assert ends() == [("bulk_operations/finish", "done", "known_already")]
    assert sync.run_imports() == 0
    assert progress(merchant).state is ImportState.EXPORTING
