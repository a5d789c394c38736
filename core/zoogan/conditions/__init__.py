"""Conditions that ship with the core: what the output is asked to be."""
