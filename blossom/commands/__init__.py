"""What the commands do, a module for those that need the same: `blossom.cli` loads the one that is called."""
