"""What a merchant types and chooses on the pages on people."""

from blossom.people.forms.adding import NewContact, read_new
from blossom.people.forms.listing import Choice, Search, read_choice, read_number, read_search

__all__ = ["Choice", "NewContact", "Search", "read_choice", "read_new", "read_number", "read_search"]
