"""What people type reaches no form with what no table can keep, or what would turn a name's letters round."""

from __future__ import annotations

from io import BytesIO

import pytest
from werkzeug.test import EnvironBuilder

from blossom.platform.lines import TURNING
from blossom.platform.typed import Request

EMPTY_OR_GONE = {"a": "12", "na": "x"}
SENT = {"a": "1\0002", "n\0a": "\0x\0"}


def asked(**options: object) -> Request:
    return Request(EnvironBuilder(method="POST", **options).get_environ())  # type: ignore[arg-type]


class TestNul:
    def test_is_in_no_address(self) -> None:
        assert asked(query_string=SENT).args.to_dict() == EMPTY_OR_GONE

    @pytest.mark.parametrize("content_type", ["application/x-www-form-urlencoded", "multipart/form-data"])
    def test_is_in_no_form(self, content_type: str) -> None:
        request = asked(data=SENT, content_type=content_type)
        assert request.form.to_dict() == EMPTY_OR_GONE
        assert request.values.to_dict() == EMPTY_OR_GONE

    def test_is_in_no_field_beside_a_file(self) -> None:
        request = asked(data={**SENT, "file": (BytesIO(b"x"), "x.csv")})
        assert request.form.to_dict() == EMPTY_OR_GONE

    def test_is_in_no_value_of_several(self) -> None:
        assert asked(data={"a": ["\0001", "2\000"]}).form.getlist("a") == ["1", "2"]


class TestWhatTurnsLettersRound:
    def test_is_in_no_name_and_no_contact_line(self) -> None:
        given = dict.fromkeys(("name", "contact_line"), f"Summer{TURNING}sale")
        assert asked(data=given).form.to_dict() == dict.fromkeys(given, "Summersale")

    def test_stays_in_texts_where_the_linter_judges_it(self) -> None:
        given = {"body": f"שלום {TURNING[0]}Blossom{TURNING[4]}"}
        assert asked(data=given).form.to_dict() == given
