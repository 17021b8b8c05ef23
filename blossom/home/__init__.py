"""The merchant's home page: what needs attention, what is on its way, the figures of 30 days, the first steps."""
