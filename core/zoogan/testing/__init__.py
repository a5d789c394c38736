"""The conformance suite that every method passes, and hypothesis strategies for configs and tensors."""
