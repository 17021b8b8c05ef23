"""Stored questions over contacts, static lists, and the audience that they make."""
