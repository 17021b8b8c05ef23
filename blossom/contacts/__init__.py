"""The people of a shop: who they are, how their numbers are read, and how they are imported."""
