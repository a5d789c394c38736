"""Plugins: how methods, components and commands are contributed."""
