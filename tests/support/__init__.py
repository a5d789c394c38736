"""Helpers that several tests share: tiny runs, toy networks and fake plugins."""
