"""Who did what, when, in a shop."""
