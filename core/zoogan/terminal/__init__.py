"""The terminal: progress, messages, signals, tables."""
