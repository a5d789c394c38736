"""Losses that ship with the core, one idea a file."""
