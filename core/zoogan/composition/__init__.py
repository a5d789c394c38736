"""Composition: a config and facts become a game with its networks, rehearsed before any data is read."""
