"""Judges: networks that read attributes, parts and pose off faces."""
