"""Time an iteration of SMILE's layout stage against the official code: one line of JSON.

    git clone https://github.com/affromero/SMILE
    python benchmarks/versus_smile_layout.py --official SMILE --size 256 --batch 4

The official side plays the order of its `Train.run` with its own networks, losses and averages, for six attributes,
weighted classes and modulated convolutions. Heat maps are random on both sides, so that no landmark network is timed.
"""

from __future__ import annotations

import argparse
import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from versus import OfficialSide, Parts, compare

SHARES = {"iterations": 1.0}
ATTRIBUTES = 6
PARTS = 19


def make_pairs(labels: Tensor) -> Tensor:
    """Make official labels (n, 12) of labels (n, 6)."""
    return torch.stack([1 - labels, labels], 2).flatten(1)


class OfficialSmileLayout(OfficialSide):
    """affromero's networks and losses of the layout stage.

    Args:
        options: The command line.
        device: Where the networks compute.
    """

    def __init__(self, options: argparse.Namespace, device: torch.device) -> None:
        from misc.losses import _GAN_LOSS
        from misc.mask_utils import cross_entropy2d
        from models.discriminator import Discriminator
        from models.encoder import StyleEncoder
        from models.generator import Generator
        from models.mapping import Noise2Style

        self.gan_loss, self.cross_entropy = _GAN_LOSS, cross_entropy2d
        size, batch = options.size, options.batch
        self.settings = argparse.Namespace(
            image_size=size, batch_size=batch, FAN=True, conv_gen=32, num_domains=ATTRIBUTES, noise_dim=16,
            style_dim=64, small_dim=16, SPLIT_STYLE=True, SPLIT_STYLE2=False, MOD=True, REENACTMENT=False,
            WEIGHT_STYLE=False, REPLICATE_MOD=False, NO_SHORTCUT=False, ATTR="all", dataset="CelebA_HQ",
            REMOVING_MASK=False, log=None,
        )  # fmt: skip
        self.networks: dict[str, Any] = {
            "G": Generator(self.settings, color_dim=PARTS),
            "F": Noise2Style(self.settings),
            "S": StyleEncoder(self.settings, color_dim=PARTS),
            "D": Discriminator(self.settings, color_dim=PARTS),
        }
        for network in self.networks.values():
            network.to(device).train()
        self.networks["G"].hpf.filter = self.networks["G"].hpf.filter.to(device)
        self.averages = copy.deepcopy(self.networks)
        self.optimizers = {
            name: torch.optim.Adam(
                network.parameters(), lr=1e-6 if name == "F" else 1e-4, betas=(0.0, 0.99), weight_decay=1e-4
            )
            for name, network in self.networks.items()
        }
        classes = torch.randint(PARTS, (batch, size, size), device=device)
        self.layout = F.one_hot(classes, PARTS).permute(0, 3, 1, 2).float().contiguous()
        self.own, self.target = (
            make_pairs(torch.randint(2, (batch, ATTRIBUTES), device=device).float()) for _ in range(2)
        )
        self.heat_maps = [torch.rand(batch, 1, size, size, device=device) for _ in range(2)]
        self.device = device

    def select(self, network: nn.Module, *arguments: Any) -> Tensor:
        """Run mapping or style encoder on (input, label): the styles (n, a, s)."""
        style: Tensor = network(*arguments)
        return style

    def train_only(self, *names: str) -> None:
        """Require gradients of some networks and freeze the others."""
        for name, network in self.networks.items():
            network.requires_grad_(name in names)
        for optimizer in self.optimizers.values():
            optimizer.zero_grad()

    def draw_style(self) -> Tensor:
        """Map new noise to styles of the target."""
        latent = self.networks["G"].random_noise(self.layout).to(self.device)
        return self.select(self.networks["F"], latent, self.target)

    def update_discriminator(self) -> None:
        """Play `Dis_update`."""
        self.train_only("D")
        generator, layout = self.networks["G"], self.layout.clone()
        with torch.no_grad():
            style = self.draw_style()
            fake = generator.decoder(generator.encoder(layout, fan=self.heat_maps), style, fan=self.heat_maps)
            fake = nn.Softmax(dim=1)(fake)
        loss = self.gan_loss(
            self.networks["D"], layout, fake, self.own, self.settings, fake_label=self.target, seg=layout.clone()
        )
        (loss["src"] + loss["dr1"]).backward()
        self.optimizers["D"].step()

    def update_generator(self) -> None:
        """Play `Gen_update` in the latent scheme, with the diversity masked by the heat maps."""
        self.train_only("G", "F", "S")
        generator, encoder, layout = self.networks["G"], self.networks["S"], self.layout
        style = self.draw_style()
        own = self.select(encoder, layout, self.own).detach()
        content = generator.encoder(layout, fan=self.heat_maps)
        fake = nn.Softmax(dim=1)(generator.decoder(content, style, fan=self.heat_maps))
        loss = self.gan_loss(
            self.networks["D"], fake, layout, self.target, self.settings, isFake=True, fake_label=self.own
        )["src"]
        other = nn.Softmax(dim=1)(generator.decoder(content, self.draw_style(), fan=self.heat_maps))
        outside = 1 - F.interpolate(self.heat_maps[0], size=fake.size(2), mode="bilinear")
        outside = outside.expand_as(fake)
        loss = loss - 20 * F.l1_loss((outside * fake)[outside > 0], (outside * other)[outside > 0].detach())
        again = self.select(encoder, fake, self.target)
        loss = loss + F.l1_loss(style[:, 0], again[:, 0])
        for k in range(1, ATTRIBUTES):
            loss = loss + F.l1_loss(style[:, k, :16], again[:, k, :16])
        loss = loss + self.cross_entropy(generator(fake, own, fan=self.heat_maps), layout)
        loss.backward()
        for name in "GFS":
            self.optimizers[name].step()

    @torch.no_grad()
    def update_averages(self) -> None:
        """Move the averages of all networks."""
        for name, average in self.averages.items():
            for mine, theirs in zip(average.parameters(), self.networks[name].parameters()):
                mine.data = torch.lerp(theirs.data, mine.data, 0.999)

    def iterate(self) -> None:
        """Play one iteration in the order of `Train.run`."""
        self.update_discriminator()
        self.update_generator()
        self.update_averages()

    def make_parts(self) -> Parts:
        """Return one iteration."""
        return {"iterations": self.iterate}


def make_layer(options: argparse.Namespace) -> dict[str, Any]:
    """Return our settings for the same networks: six attributes, heat maps from files, the official average."""
    return {
        "data": {"attributes": ["Male", "Eyeglasses", "Bald", "Bangs", "Wearing_Earrings", "Wearing_Hat"]},
        "generator": {"high_pass": 1.0},
        "heat_maps": {"use": "files"},
        "training": {"average_warm_up": False},
    }


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print."""
    compare("smile-layout", OfficialSmileLayout, make_layer, __doc__ or "", argv, SHARES)


if __name__ == "__main__":
    main()
