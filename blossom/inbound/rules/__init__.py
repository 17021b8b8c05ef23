"""Pure rules: `texts` that people send, `webhooks` of Shopify."""
