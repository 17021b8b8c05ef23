"""What the app is measured against: programs that do the least that can be compared."""
