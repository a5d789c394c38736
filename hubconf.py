"""Entry points of torch.hub: `torch.hub.load("zoogan/zoogan", "load", "RUN")` opens a trained run."""

dependencies = ["zoogan"]

from zoogan import load as load  # noqa: E402 (torch.hub reads `dependencies` first)
