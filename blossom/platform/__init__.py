"""What every domain stands on: configuration, database, queue, clock, crypto, errors, logs. Imports no domain."""
