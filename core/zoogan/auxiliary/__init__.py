"""Networks that no step trains: features, LPIPS, landmarks, heat maps."""
