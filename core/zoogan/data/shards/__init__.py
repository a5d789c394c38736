"""Faces packed into large tar files, which any program can read: the source, its files, and packing."""
