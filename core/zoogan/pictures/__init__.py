"""Pictures: reading and cropping photos, contact sheets, palettes, films. Knows no faces and no sources."""
