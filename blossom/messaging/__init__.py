"""The only way an SMS leaves: dispatches, their batches and messages, attempts, receipts, reconciliation."""
