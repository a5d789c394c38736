"""The terminal: progress, signals, tables."""
