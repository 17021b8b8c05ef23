"""Shopify's customers and our contacts in step: imported, compared each night, and told of consent given here."""
