"""The editor of style translation: a domain, and a style from a seed or from another face."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from zoogan.conditions.domain import DomainCondition
from zoogan.interfaces import Column, Edit, Editor, HeatMaps, Networks, Request, Seed, Targets
from zoogan.interfaces.draws import seed_of
from zoogan.interfaces.source import domain_of

MEAN_OF = 10_000  # latents whose mean style truncation pulls to (StarGAN v2's official code)
SHEET_DOMAINS, SHEET_STYLES = 3, 2
ENCODED_AT_ONCE = 50


class StyleEditor(Editor):
    """Redraws faces in a domain. The style is that of a reference, or drawn: one seed, one style."""

    takes_reference = True
    condition: DomainCondition

    def __init__(
        self,
        networks: Networks,
        condition: DomainCondition,
        attributes: tuple[str, ...],
        heat_maps: HeatMaps,
        shown: Callable[[Tensor], Tensor],
    ) -> None:
        self.networks = networks if isinstance(networks, nn.ModuleDict) else nn.ModuleDict(networks)
        self.condition, self.attributes = condition, attributes
        self.exclusive = (attributes,) if len(attributes) > 1 else ()  # they are the domains
        self.heat_maps, self.shown = heat_maps, shown
        self.wants = () if heat_maps.field is None else (heat_maps.field,)
        self._means: dict[int, Tensor] = {}
        self._references: dict[int, Tensor] | None = None  # styles of other faces, by domain, to choose from

    def serves(self, own: Float[Tensor, "n a"]) -> Bool[Tensor, " n"]:
        """Faces that show one of the domains."""
        return self.domain(own) >= 0

    def domain(self, labels: Float[Tensor, "n a"]) -> Int64[Tensor, " n"]:
        """The domain that each row of labels shows; -1 where it shows none or several."""
        return domain_of(labels, len(self.condition.names))

    @torch.no_grad()
    def resolve(self, request: Request, image: Tensor, own: Tensor | None = None) -> Targets:
        """{"domain": (n,)}, and with a reference {"style": (n, s)}, what the style encoder reads off it in that domain.

        Raises:
            ValueError: the request names no domain, or references of another number than images.
        """
        wanted = request.domain
        if wanted is None:
            values = [request.attributes.get(name, 0.0) for name in self.attributes]
            wanted = int(self.domain(torch.tensor([values]))[0])
        if wanted < 0:
            raise ValueError(f"expected one domain out of {', '.join(self.condition.names)}")
        domain = torch.full((len(image),), wanted, dtype=torch.int64, device=image.device)
        if request.reference is None:
            return {"domain": domain}
        reference = request.reference.to(image)
        if len(reference) not in (1, len(image)):
            raise ValueError(f"{len(reference)} references for {len(image)} images: give one, or one each")
        style = self.networks["style_encoder"](reference, domain[: len(reference)])
        return {"domain": domain, "style": style.expand(len(image), *style.shape[1:]).clone()}

    @torch.no_grad()
    def drawn(self, domain: Int64[Tensor, " n"], seed: Seed, truncation: float | None = None) -> Float[Tensor, "n s"]:
        """A style for each image, drawn from its seed; `truncation` as in `apply`."""
        mapping: Any = self.networks["mapping"]
        weight = next(mapping.parameters())
        seeds = [seed] if isinstance(seed, int) else list(seed)
        if self._references is not None:
            pools = [self._references[int(k)] for k in domain]
            each = seeds * len(pools) if len(seeds) == 1 else seeds
            return torch.stack([pool[seed_of("reference", one) % len(pool)] for pool, one in zip(pools, each)])
        latents = [
            torch.randn(mapping.latent_dim, generator=torch.Generator().manual_seed(seed_of("style", one)))
            for one in seeds
        ]
        style = mapping(torch.stack(latents).to(weight).expand(len(domain), -1), domain)
        if truncation is None or truncation == 1:
            return style
        mean = torch.stack([self.mean_style(int(k)) for k in domain])
        return mean.lerp(style, truncation)

    @torch.no_grad()
    def guided(self, image: Float[Tensor, "m c h w"], own: Float[Tensor, "m a"]) -> Editor:
        """This editor with styles that the style encoder reads off these faces, each in its own domain.

        Raises:
            ValueError: none of the faces shows one of the domains.
        """
        found, twin = self.domain(own), copy.copy(self)
        missing = [name for k, name in enumerate(self.condition.names) if not bool((found == k).any())]
        if missing:
            raise ValueError(f"there is no reference that shows {', '.join(missing)}")
        encoder = self.networks["style_encoder"]
        rows = {k: (found == k).nonzero().flatten() for k in range(len(self.condition.names))}
        twin._references = {
            k: torch.cat([encoder(image[part], found[part]) for part in some.split(ENCODED_AT_ONCE)])
            for k, some in rows.items()
        }
        return twin

    def mean_style(self, domain: int) -> Float[Tensor, " s"]:
        """The mean of 10,000 drawn styles of a domain."""
        if domain not in self._means:
            mapping: Any = self.networks["mapping"]
            weight = next(mapping.parameters())
            noise = torch.randn(MEAN_OF, mapping.latent_dim, generator=torch.Generator().manual_seed(0)).to(weight)
            index = torch.full((MEAN_OF,), domain, dtype=torch.int64, device=weight.device)
            self._means[domain] = mapping(noise, index).mean(0)
        return self._means[domain]

    @torch.no_grad()
    def apply(
        self,
        image: Tensor,
        targets: Targets,
        *,
        seed: Seed = 0,
        strength: float = 1.0,
        threshold: float | None = None,
        truncation: float | None = None,
    ) -> Edit:
        """The translation; `strength` blends its pixels with the input's. `extras` has the `style` (n, s).

        targets: also the faces' heat maps (n, 2, i, j), where those come from files; without, nothing is kept by force.

        Raises:
            ValueError: a threshold: there is no mask. A truncation of a style that a reference gives.
        """
        if threshold is not None:
            raise ValueError("this editor has no mask, so it cannot be made hard: leave the threshold out")
        style = targets.get("style")
        if style is not None and truncation is not None:
            raise ValueError("truncation is for drawn styles; a reference gives its own: leave one of them out")
        if truncation is not None and not 0 <= truncation <= 1:
            raise ValueError(f"truncation is a share from 0 to 1, got {truncation:g}")
        if not isinstance(seed, int) and len(seed) not in (1, len(image)):
            raise ValueError(f"{len(seed)} seeds for {len(image)} images: give one, or one each")
        style = self.drawn(targets["domain"], seed, truncation) if style is None else style
        both = targets.get(self.heat_maps.field or "")
        masks = self.heat_maps(image) if both is None else (both[:, :1], both[:, 1:])
        result = self.shown(self.networks["generator"](image, style, masks))
        result = (image + strength * (result - image)).clamp(-1, 1)
        return Edit(result, extras={"style": style, "residual": (result - image).abs()})

    def sheet(self, image: Tensor, attributes: Tensor, known: Targets | None = None) -> list[Column]:
        """For each domain two drawn styles, then the styles of two of the faces themselves, shown on top."""
        own, columns, known = self.domain(attributes), [], known or {}
        for k, name in enumerate(self.condition.names[:SHEET_DOMAINS]):
            domain = torch.full((len(image),), k, dtype=torch.int64, device=image.device)
            columns += [
                Column(f"{name}, seed {seed}", self.apply(image, {"domain": domain} | known, seed=seed).image)
                for seed in range(SHEET_STYLES)
            ]
            for row in (own == k).nonzero().flatten().tolist()[:SHEET_STYLES]:
                targets = self.resolve(Request(domain=k, reference=image[row : row + 1]), image) | known
                columns.append(Column(f"{name} like", self.apply(image, targets).image, image[row]))
        return columns
