"""What a merchant does with people."""

from blossom.people.service.adding import add_contact
from blossom.people.service.counting import count_segment, counted
from blossom.people.service.opting_out import opt_out
from blossom.people.service.segments import delete_segment, save_segment

__all__ = ["add_contact", "count_segment", "counted", "delete_segment", "opt_out", "save_segment"]
