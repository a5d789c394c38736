"""Importing official weights."""
