"""Credits: what a shop has, holds and spent, and what a text costs. docs/money.md tells the whole of it."""
