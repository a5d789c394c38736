"""Sources of real faces."""
