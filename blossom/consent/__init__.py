"""Who may be texted: consent, its events that are never edited, and the keywords that change it."""
