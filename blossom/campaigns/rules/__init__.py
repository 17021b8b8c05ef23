"""What campaigns know without a database: their states and when a planned one is due."""
