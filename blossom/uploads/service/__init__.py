"""What happens to a merchant's file, step by step."""

from blossom.uploads.service.choosing import change_columns, choose_columns, discard, name_encoding, start
from blossom.uploads.service.forgetting import forget_expired
from blossom.uploads.service.receiving import begin, end_receiving, receive_part
from blossom.uploads.service.running import run_due

__all__ = [
    "begin",
    "change_columns",
    "choose_columns",
    "discard",
    "end_receiving",
    "forget_expired",
    "name_encoding",
    "receive_part",
    "run_due",
    "start",
]
