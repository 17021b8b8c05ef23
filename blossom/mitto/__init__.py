"""Mitto, the SMS provider: calls to it, and what it posts to us. What is relied on stands in docs/mitto.md."""
