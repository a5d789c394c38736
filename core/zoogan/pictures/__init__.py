"""Pictures: reading and cropping photos, contact sheets, palettes, films. Independent of runs and sources."""
