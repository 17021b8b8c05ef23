"""The merchant's home page and the shop's settings, in the admin's frame."""
