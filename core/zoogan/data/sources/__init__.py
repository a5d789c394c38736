"""Sources that read faces from files."""
