"""What people text to shops, for the merchant to read."""
