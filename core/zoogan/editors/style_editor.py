"""The editor of style translation: a domain, and a style from a seed or from another face."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from zoogan.conditions.domain import DomainCondition
from zoogan.editors.style_options import check_style_options
from zoogan.facts import Facts
from zoogan.interfaces import (
    Column,
    Edit,
    Editor,
    Graph,
    HeatMaps,
    Networks,
    Pipelines,
    Request,
    Seed,
    Targets,
    make_calls,
    make_example_faces,
    make_example_latents,
)
from zoogan.interfaces.draws import derive_seed
from zoogan.interfaces.source import find_domains

MEAN_OF = 10_000  # latents whose mean style truncation pulls to (StarGAN v2's official code)
COLUMN_DOMAINS, COLUMN_STYLES = 3, 2
ENCODER_BATCH = 50


class StyleEditor(Editor):
    """Translates faces to a domain. The style is that of a reference, or drawn: one seed, one style.

    Args:
        networks: The networks by slot.
        condition: Parses requests.
        attributes: The names of the label columns, one a domain.
        heat_maps: Finds where a face's own detail is kept.
        convert_output: Converts the generator's output to images.
    """

    takes_reference = True
    takes_truncation = True
    condition: DomainCondition

    def __init__(
        self,
        networks: Networks,
        condition: DomainCondition,
        attributes: tuple[str, ...],
        heat_maps: HeatMaps,
        convert_output: Callable[[Tensor], Tensor],
    ) -> None:
        self.networks = networks if isinstance(networks, nn.ModuleDict) else nn.ModuleDict(networks)
        self.condition, self.attributes, self.domains = condition, attributes, condition.names
        self.exclusive = (attributes,) if len(attributes) > 1 else ()  # they are the domains
        self.heat_maps, self.convert_output = heat_maps, convert_output
        self.mask_fields = () if heat_maps.field is None else (heat_maps.field,)
        self._mean_styles: dict[int, Tensor] = {}
        self._reference_styles: dict[int, Tensor] | None = None  # styles of other faces, by domain, to choose from

    def find_supported(self, own: Float[Tensor, "n a"]) -> Bool[Tensor, " n"]:
        """Return which faces show one of the domains."""
        return self.find_domain(own) >= 0

    def find_domain(self, labels: Float[Tensor, "n a"]) -> Int64[Tensor, " n"]:
        """Return the domain that each row of labels shows; -1 where it shows none or several."""
        return find_domains(labels, len(self.condition.names))

    @torch.no_grad()
    def resolve(
        self, request: Request, image: Float[Tensor, "n c h w"], own: Float[Tensor, "n a"] | None = None
    ) -> Targets:
        """Return {"domain": (n,)}, and with a reference {"style": (n, s)}, its style in that domain.

        Raises:
            ValueError: The request names no domain, or references of another number than images.
        """
        index = request.domain
        if index is None:
            values = [request.attributes.get(name, 0.0) for name in self.attributes]
            index = int(self.find_domain(torch.tensor([values]))[0])
        if index < 0:
            raise ValueError(f"expected one domain out of {', '.join(self.condition.names)}")
        domain = torch.full((len(image),), index, dtype=torch.int64, device=image.device)
        if request.reference is None:
            return {"domain": domain}
        reference = request.reference.to(image)
        if len(reference) not in (1, len(image)):
            raise ValueError(f"{len(reference)} references for {len(image)} images: give one, or one each")
        style = self.networks["style_encoder"](reference, domain[: len(reference)])
        return {"domain": domain, "style": style.expand(len(image), *style.shape[1:]).clone()}

    @torch.no_grad()
    def draw_style(
        self, domain: Int64[Tensor, " n"], seed: Seed, truncation: float | None = None
    ) -> Float[Tensor, "n s"]:
        """Draw a style for each image from its seed.

        Args:
            domain: The domain of each image.
            seed: One seed for all images, or one for each.
            truncation: See `apply`.
        """
        mapping: Any = self.networks["mapping"]
        weight = next(mapping.parameters())
        seeds = [seed] if isinstance(seed, int) else list(seed)
        if self._reference_styles is not None:
            pools = [self._reference_styles[int(k)] for k in domain]
            seeds = seeds * len(pools) if len(seeds) == 1 else seeds
            return torch.stack([pool[derive_seed("reference", one) % len(pool)] for pool, one in zip(pools, seeds)])
        latents = [
            torch.randn(mapping.latent_dim, generator=torch.Generator().manual_seed(derive_seed("style", one)))
            for one in seeds
        ]
        style = mapping(torch.stack(latents).to(weight).expand(len(domain), -1), domain)
        if truncation is None or truncation == 1:
            return style
        mean = torch.stack([self.compute_mean_style(int(k)) for k in domain])
        return mean.lerp(style, truncation)

    @torch.no_grad()
    def make_guided_editor(
        self, image: Float[Tensor, "m c h w"], own: Float[Tensor, "m a"], masks: Targets | None = None
    ) -> Editor:
        """Make a copy of this editor whose styles the style encoder reads from these faces, each in its own domain.

        Raises:
            ValueError: No face shows one of the domains.
        """
        domain, editor = self.find_domain(own), copy.copy(self)
        missing = [name for k, name in enumerate(self.condition.names) if not bool((domain == k).any())]
        if missing:
            raise ValueError(f"there is no reference that shows {', '.join(missing)}")
        encoder = self.networks["style_encoder"]
        rows = {k: (domain == k).nonzero().flatten() for k in range(len(self.condition.names))}
        editor._reference_styles = {
            k: torch.cat([encoder(image[batch], domain[batch]) for batch in places.split(ENCODER_BATCH)])
            for k, places in rows.items()
        }
        return editor

    def compute_mean_style(self, domain: int) -> Float[Tensor, " s"]:
        """Return the mean of 10,000 drawn styles of a domain; it is computed once."""
        if domain not in self._mean_styles:
            mapping: Any = self.networks["mapping"]
            weight = next(mapping.parameters())
            noise = torch.randn(MEAN_OF, mapping.latent_dim, generator=torch.Generator().manual_seed(0)).to(weight)
            index = torch.full((MEAN_OF,), domain, dtype=torch.int64, device=weight.device)
            self._mean_styles[domain] = mapping(noise, index).mean(0)
        return self._mean_styles[domain]

    @torch.no_grad()
    def apply(
        self,
        image: Float[Tensor, "n c h w"],
        targets: Targets,
        *,
        seed: Seed = 0,
        strength: float = 1.0,
        threshold: float | None = None,
        truncation: float | None = None,
    ) -> Edit:
        """Translate images.

        Args:
            image: Images in [-1, 1].
            targets: `domain`, perhaps `style`, and the faces' heat maps (n, 2, i, j) where those come from files;
                without these, no details are copied from the input.
            seed: Seed of the drawn style, one for all images or one for each.
            strength: Blends the pixels of the translation with the input's.
            threshold: Must be None: there is no mask.
            truncation: How far a drawn style may be from the mean style, 0 to 1; None = 1.

        Returns:
            The edit; `extras` has the `style` (n, s).

        Raises:
            ValueError: A threshold, a truncation of a reference's style or out of range, a wrong number of seeds.
        """
        style = targets.get("style")
        check_style_options(len(image), seed, threshold, truncation, has_style=style is not None)
        style = self.draw_style(targets["domain"], seed, truncation) if style is None else style
        stored = targets.get(self.heat_maps.field or "")
        masks = self.heat_maps(image) if stored is None else (stored[:, :1], stored[:, 1:])
        result = self.convert_output(self.networks["generator"](image, style, masks))
        result = (image + strength * (result - image)).clamp(-1, 1)
        return Edit(result, extras={"style": style, "residual": (result - image).abs()})

    def make_columns(
        self, image: Float[Tensor, "n c h w"], attributes: Float[Tensor, "n a"], masks: Targets | None = None
    ) -> list[Column]:
        """Make the columns of a sample grid.

        For each domain two drawn styles, then the styles of two of the faces themselves, which are shown on top.
        """
        own, columns, masks = self.find_domain(attributes), [], masks or {}
        for k, name in enumerate(self.condition.names[:COLUMN_DOMAINS]):
            domain = torch.full((len(image),), k, dtype=torch.int64, device=image.device)
            columns += [
                Column(f"{name}, seed {seed}", self.apply(image, {"domain": domain} | masks, seed=seed).image)
                for seed in range(COLUMN_STYLES)
            ]
            for row in (own == k).nonzero().flatten().tolist()[:COLUMN_STYLES]:
                targets = self.resolve(Request(domain=k, reference=image[row : row + 1]), image) | masks
                columns.append(Column(f"{name} like", self.apply(image, targets).image, image[row]))
        return columns

    # ---- graphs ----

    def make_graphs(self, facts: Facts) -> Pipelines:
        """Make the graphs `mapping`, `style_encoder` and `generator`. Heat maps are computed in `generator`."""
        image, domain = make_example_faces(facts), torch.arange(2) % len(self.condition.names)
        mapping: Any = self.networks["mapping"]
        latent, style = make_example_latents(mapping.latent_dim), make_example_latents(mapping.style_dim)
        graphs = (
            Graph("mapping", mapping, {"latent": latent, "domain": domain}, ("style",)),
            Graph("style_encoder", self.networks["style_encoder"], {"reference": image, "domain": domain}, ("style",)),
            Graph("generator", self._translate, {"image": image, "style": style}, ("edited",)),
        )
        tasks = {"edit": make_calls("mapping", "generator"), "reference": make_calls("style_encoder", "generator")}
        return Pipelines(graphs, tasks)

    def _translate(self, image: Tensor, style: Tensor) -> Tensor:
        return self.convert_output(self.networks["generator"](image, style, self.heat_maps(image))).clamp(-1, 1)
