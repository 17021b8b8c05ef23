"""The pages that shoppers see on a shop's own site, behind Shopify's app proxy: consent, confirmation, opt-out."""
