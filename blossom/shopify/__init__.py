"""Shopify: who is speaking (domains, signatures, session tokens), how to get access (oauth), and calls (client)."""
