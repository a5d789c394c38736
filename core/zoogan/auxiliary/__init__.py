"""Auxiliary networks, which no step trains: image features, LPIPS, landmarks and heat maps, and their weight files."""
