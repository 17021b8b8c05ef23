"""What the send knows without a database: states, due times, caps, what a receipt changes, what a call held."""
