"""Losses that ship with the core."""
