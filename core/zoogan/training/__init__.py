"""Training: the trainer, checkpoints, averages, guards, signals and the run folder."""
