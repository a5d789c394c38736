"""A modular GAN zoo for face editing."""
