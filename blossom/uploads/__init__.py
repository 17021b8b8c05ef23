"""A merchant's file of customers, from their browser into the contacts: received, counted, imported, reported."""
