"""The merchant's way in: the admin's frame, its session tokens, and installing. No cookie anywhere (decision 0020)."""
