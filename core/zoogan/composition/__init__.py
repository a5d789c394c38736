"""Composition: a config and facts become a game with its networks."""
