"""Short links in texts: their codes, where they lead, and who opened them."""
