"""Run folders: checkpoints, the opened run, latents."""
