"""The merchant's page on credits: what there is, what is held, what texts cost, and where it went."""
