"""Training: preparation, the trainer, moving averages, resuming, sample grids and the log of a run."""
