"""The texts that merchants write: strict Liquid, exact sizes, advice, and the saved templates of a shop."""
