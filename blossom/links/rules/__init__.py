"""Pure rules of short links: `codes`, and `robots`, who open links that nobody reads."""
