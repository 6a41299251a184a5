"""What executes the tables: compiled functions over addresses."""
