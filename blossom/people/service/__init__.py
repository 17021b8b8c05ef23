"""What a merchant does with people."""

from blossom.people.service.opting_out import opt_out

__all__ = ["opt_out"]
