"""The tenant: its settings, its keys, and who may act for it."""
