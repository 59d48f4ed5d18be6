"""What a user can write: one file a kind, plus units, YAML loading and validation. Imports nothing above it."""
