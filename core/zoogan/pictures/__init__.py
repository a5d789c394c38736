"""Pictures: reading photos, films, palettes."""
