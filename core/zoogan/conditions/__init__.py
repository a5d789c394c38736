"""Conditions that ship with the core: what the output should show."""
