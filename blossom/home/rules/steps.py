"""The first steps of a shop with Blossom, which tick themselves."""

from __future__ import annotations

from dataclasses import dataclass

from blossom.platform.languages import noted


@dataclass(frozen=True)
class StepsTaken:
    """Which of them are done, as the database shows."""

    contacts: bool
    consent: bool
    contact_line: bool
    credits: bool
    campaign: bool


@dataclass(frozen=True)
class Step:
    """`words`, `hint`, `label` are for `t`; `address`: where it is done."""

    key: str
    words: str
    hint: str
    label: str
    address: str
    is_done: bool


def steps(taken: StepsTaken) -> list[Step]:
    """All of them, in their order."""
    return [
        Step(
            "contacts",
            noted("Bring your customers in"),
            noted("They come from Shopify by themselves. You can also import a file."),
            noted("Contacts"),
            "/contacts",
            taken.contacts,
        ),
        Step(
            "consent",
            noted("Have somebody agree to texts"),
            noted("Put the sign-up form into your theme, or lead people to it. Only who agreed is texted."),
            noted("Consent settings"),
            "/settings/consent",
            taken.consent,
        ),
        Step(
            "contact_line",
            noted("Say how shoppers reach you"),
            noted("It is part of the answer when somebody texts HELP. Look at your sender name too."),
            noted("Settings"),
            "/settings",
            taken.contact_line,
        ),
        Step(
            "credits",
            noted("Get credits"),
            noted("Texts are paid for with them."),
            noted("Wallet"),
            "/wallet",
            taken.credits,
        ),
        Step(
            "campaign",
            noted("Send your first campaign"),
            noted("Try it on your own phone first. You see all numbers before anything goes out."),
            noted("Write a campaign"),
            "/campaigns/new",
            taken.campaign,
        ),
    ]
