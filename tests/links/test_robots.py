"""Who counts as a person who tapped a link."""

from __future__ import annotations

import pytest

from blossom.links.rules import robots

IPHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/17.4.1 Mobile/15E148 Safari/604.1"
)
ANDROID = (
    "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/124.0.0.0 Mobile Safari/537.36"
)


@pytest.mark.parametrize(
    "user_agent",
    [
        IPHONE,
        ANDROID,
        ANDROID.replace("Android 10; K", "Android 11; CUBOT X30"),  # a phone's name, not a bot's
        ANDROID.replace("Chrome", "SamsungBrowser/24.0 Chrome"),
        "Mozilla/5.0 (X11; Linux x86_64; rv:125.0) Gecko/20100101 Firefox/125.0",
        "Opera/9.80 (Android; Opera Mini/7.5.33361/31.1448; U; en) Presto/2.8.119 Version/11.1010",
        IPHONE.replace("Version/17.4.1 ", "") + " [FBAN/FBIOS;FBAV/450.0.0.38.108;FBDV/iPhone14,5]",
        IPHONE + " Line/14.5.0",
        IPHONE.replace("Safari/604.1", "[Pinterest/iOS]"),
    ],
)
def test_browsers_in_peoples_hands_count(user_agent: str) -> None:
    assert robots.is_person("GET", {"User-Agent": user_agent})


@pytest.mark.parametrize(
    "user_agent",
    [
        # previews in messengers
        "WhatsApp/2.23.20.0 A",
        "TelegramBot (like TwitterBot)",
        "Viber/13.3.0.8 CFNetwork/1121.2.2 Darwin/19.2.0",
        "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)",
        "facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)",
        "Mozilla/5.0 (compatible; Discordbot/2.0; +https://discordapp.com)",
        "Mozilla/5.0 (Windows NT 6.1; WOW64) SkypeUriPreview Preview/0.5 skype-url-preview@microsoft.com",
        # iMessage's, which ends like a browser
        "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_11_1) AppleWebKit/601.2.4 (KHTML, like Gecko) Version/9.0.1 "
        "Safari/601.2.4 facebookexternalhit/1.1 Facebot Twitterbot/1.0",
        # crawlers and scanners
        "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
        "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko) BingPreview/1.0b Chrome/W.X.Y.Z Safari/537.36",
        "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko); compatible; GPTBot/1.1; +https://openai.com/gptbot",
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/120.0.0.0 Safari/537.36",
        # programs
        "curl/8.5.0",
        "python-requests/2.32.3",
        "Java/17.0.2",
        "Dalvik/2.1.0 (Linux; U; Android 13; SM-A536B Build/TP1A.220624.014)",
        "",
    ],
)
def test_programs_do_not(user_agent: str) -> None:
    assert not robots.is_person("GET", {"User-Agent": user_agent})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Sec-Purpose", "prefetch"),
        ("Sec-Purpose", "prefetch;prerender"),
        ("Purpose", "prefetch"),
        ("X-Purpose", "preview"),
        ("X-Moz", "Prefetch"),
    ],
)
def test_a_browser_that_looks_ahead_does_not(name: str, value: str) -> None:
    assert not robots.is_person("GET", {"User-Agent": IPHONE, name: value})


def test_a_look_at_the_head_does_not() -> None:
    assert not robots.is_person("HEAD", {"User-Agent": IPHONE})


def test_nobody_is_taken_for_a_person_for_lack_of_headers() -> None:
    assert not robots.is_person("GET", {})
