"""Webhooks in: verified on the raw bytes, stored once, handed on. Today Mitto's receipts and people's texts."""
