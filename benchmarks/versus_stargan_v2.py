"""Time StarGAN v2's iteration against the official code: one line of JSON.

    git clone https://github.com/clovaai/stargan-v2
    python benchmarks/versus_stargan_v2.py --official stargan-v2 --size 64 --batch 2

The official side plays the order of its `Solver.train` with its own networks, losses and averages, for two domains and
without heat maps. Packages that its modules import but this benchmark never calls may be missing.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import torch
from versus import OfficialSide, Parts, compare

SHARES = {"iterations": 1.0}
UNUSED = ("cv2", "ffmpeg", "metrics", "metrics.eval", "munch", "skimage", "skimage.filters", "tqdm")
NAMES = ("calculate_metrics", "gaussian", "tqdm")  # imported from these modules by name


class AttributeDict(dict[str, Any]):
    """A dict whose keys are attributes too, in the place of `munch.Munch`."""

    def __getattr__(self, name: str) -> Any:
        return self[name]

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value


def add_missing_modules() -> None:
    """Add empty modules for the missing packages, so that the official modules can be imported."""
    for name in UNUSED:
        parent = name.partition(".")[0]
        if name.startswith("metrics") or parent in sys.modules or importlib.util.find_spec(parent) is None:
            module = ModuleType(name)
            for attribute in NAMES:
                setattr(module, attribute, None)
            module.__dict__["Munch"] = AttributeDict
            sys.modules.setdefault(name, module)


class OfficialStarganV2(OfficialSide):
    """clovaai's networks and losses, without the heat-map network.

    Args:
        options: The command line.
        device: Where the networks compute.
    """

    def __init__(self, options: argparse.Namespace, device: torch.device) -> None:
        add_missing_modules()
        from core import model, solver, utils

        self.solver, batch = solver, options.batch
        self.settings = argparse.Namespace(
            img_size=options.size, style_dim=64, latent_dim=16, num_domains=2, w_hpf=0,
            lambda_reg=1.0, lambda_sty=1.0, lambda_ds=2.0, lambda_cyc=1.0,
        )  # fmt: skip
        self.networks, self.averages = model.build_model(self.settings)
        self.optimizers = {}
        for name, network in self.networks.items():
            network.to(device).apply(utils.he_init)
            self.optimizers[name] = torch.optim.Adam(
                network.parameters(),
                lr=1e-6 if name == "mapping_network" else 1e-4,
                betas=(0.0, 0.99),
                weight_decay=1e-4,
            )
        for network in self.averages.values():
            network.to(device)
        self.images = torch.rand(3, batch, 3, options.size, options.size, device=device) * 2 - 1
        self.domains = torch.randint(2, (2, batch), device=device)
        self.latents = torch.randn(2, batch, 16, device=device)

    def update(self, loss: torch.Tensor, *names: str) -> None:
        """Update networks once."""
        for optimizer in self.optimizers.values():
            optimizer.zero_grad()
        loss.backward()
        for name in names:
            self.optimizers[name].step()

    def iterate(self) -> None:
        """Play one iteration in the order of `Solver.train`."""
        solver, networks, settings = self.solver, self.networks, self.settings
        real, reference, reference2 = (image.clone() for image in self.images)
        origin, target = self.domains
        for styles in ({"z_trg": self.latents[0]}, {"x_ref": reference}):
            loss, _ = solver.compute_d_loss(networks, settings, real, origin, target, **styles)
            self.update(loss, "discriminator")
        loss, _ = solver.compute_g_loss(networks, settings, real, origin, target, z_trgs=[*self.latents])
        self.update(loss, "generator", "mapping_network", "style_encoder")
        loss, _ = solver.compute_g_loss(networks, settings, real, origin, target, x_refs=[reference, reference2])
        self.update(loss, "generator")
        for name, average in self.averages.items():
            solver.moving_average(networks[name], average, beta=0.999)

    def make_parts(self) -> Parts:
        """Return one iteration."""
        return {"iterations": self.iterate}


def make_layer(options: argparse.Namespace) -> dict[str, Any]:
    """Return our settings for the same networks: two domains, the official average."""
    return {"data": {"attributes": ["Male", "Young"]}, "training": {"average_warm_up": False}}


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print."""
    compare("stargan-v2", OfficialStarganV2, make_layer, __doc__ or "", argv, SHARES)


if __name__ == "__main__":
    main()
