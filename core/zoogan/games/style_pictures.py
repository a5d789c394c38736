"""What the steps of style translation share: the pictures, styles, masks and noise of a batch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from zoogan.config import get_component_name
from zoogan.errors import ConfigError
from zoogan.facts import Facts
from zoogan.games.adversarial import AdversarialGame, get_common_style_dim
from zoogan.games.config import Pass, StyleTranslationConfig
from zoogan.interfaces import Draws, HeatMaps, Masks, Need, Noise, StyleCondition, Targets, Turn
from zoogan.layers.augment import NoAugment


class StylePictures(AdversarialGame):
    """The base of style translation: reads the batch and computes styles and translations, once for all steps.

    Args:
        config: The complete config of the run.
        facts: Facts about the data.
        components: The built component of each slot, by name of the slot.

    Raises:
        ConfigError: The condition has no domains, the networks differ in `style_dim`, the passes need faces drawn by
            domain and the condition does not draw them so, or layouts are augmented.
    """

    needs: Mapping[str, Need]
    condition: StyleCondition

    def __init__(self, config: StyleTranslationConfig, facts: Facts, components: Mapping[str, Any]) -> None:
        if not isinstance(components["condition"], StyleCondition):
            raise ConfigError(
                f"condition {get_component_name(config.condition)!r} has no domains, which style translation "
                "needs: set condition.use=domain"
            )
        super().__init__(config, facts, components)
        self.config, self.updates_per_batch = config, len(config.passes)
        if config.picture == "layout" and not isinstance(self.augment, NoAugment):
            raise ConfigError(
                f"augment.use={get_component_name(config.augment)}: it changes images, and this game trains on "
                "layouts: set augment.use=none (data.flip=true mirrors layouts)"
            )
        self.heat_maps: HeatMaps = components["heat_maps"]
        self.lacks_masks: bool = components["generator"].takes_masks and self.heat_maps.is_empty
        self.noise_sizes: tuple[tuple[int, int], ...] = components["generator"].noise_sizes
        self.latent_dim: int = components["mapping"].latent_dim
        get_common_style_dim(components, ("generator", "mapping", "style_encoder"), "style")
        self.needs = self.make_needs(config.picture)

    def make_needs(self, picture: str) -> dict[str, Need]:
        """Make the needs: pictures, the labels that the condition reads, and what the heat maps are read from.

        References without styles need only labels; without labels there are no references then.

        Args:
            picture: The field of the source that holds the pictures.

        Returns:
            The need `source`, and `reference` if it has fields.

        Raises:
            ConfigError: A pass needs second references, but faces are not drawn by domain.
        """
        labels = () if self.condition.label is None else (self.condition.label,)
        sampler = self.condition.reference_sampler or self.condition.sampler
        reads_styles = "reference" in self.config.passes
        reads_pairs = reads_styles and self.config.second_reference == "pair"
        if reads_pairs and sampler != "domains":
            raise ConfigError(
                f"passes: the reference pass needs a second face of each domain, but condition "
                f"{get_component_name(self.config.condition)!r} draws no faces by domain: set passes=latent, or "
                "second_reference=permuted"
            )
        masks = self.heat_maps.field or self.heat_maps.reads
        extra = () if masks in (None, picture) else (masks,)
        second = (f"{picture}2",) if reads_pairs else ()
        needs = {"source": Need((picture, *labels, *extra), self.condition.sampler)}
        if reference := (picture, *second, *labels) if reads_styles else labels:
            needs["reference"] = Need(reference, sampler)
        return needs

    # ---- drawn once a batch ----

    def draw_targets(self, batch: Mapping[str, Mapping[str, Tensor]], draw: Draws) -> Targets:
        """Draw everything that is random in the passes over a batch; it is the same in all of them.

        Args:
            batch: Sample by need.
            draw: Random numbers of this batch.

        Returns:
            The domains of the references, two latents N(0, 1) for each face, the noise of each forward of the
            generator, and with `second_reference=permuted` the second references and their domains.
        """
        source = batch["source"]
        reference, like = batch.get("reference", source), source[self.config.picture]
        latents = {name: draw.normal(name, self.latent_dim, like=like) for name in ("latent", "latent2")}
        targets = self.condition.draw_targets(reference, draw) | latents
        if "reference" in self.config.passes and self.config.second_reference == "permuted":
            targets["reference2"] = draw.permute("second", reference[self.config.picture])
            targets["domain2"] = draw.permute("second", targets["domain"])
        for use in [f"{name}{forward}" for name in self.config.passes for forward in ("", "2", " cycle")]:
            for k, size in enumerate(self.noise_sizes):
                name = name_noise_target(use, k)
                targets[name] = draw.normal_on_device(name, 1, *size, like=like)
        return targets

    def get_noise(self, turn: Turn, use: str) -> Noise | None:
        """Return the noise of one forward of the generator.

        Args:
            turn: Everything that terms may read.
            use: The pass, with `2` for the second style or ` cycle` for the way back.

        Returns:
            A map (n, 1, h, w) for each of `generator.noise_sizes`; None = it takes no noise.
        """
        maps = [turn.targets[name_noise_target(use, k)] for k in range(len(self.noise_sizes))]
        return maps or None

    # ---- computed once a batch ----

    def unpack_batch(self, turn: Turn) -> tuple[Tensor, Tensor, Tensor]:
        """Return the source pictures, their own domains and the target domains."""
        source = turn.batch["source"]
        return source[self.config.picture], self.condition.get_domains(source), turn.targets["domain"]

    def to_picture(self, raw: Tensor) -> Tensor:
        """Convert the generator's output to the input of the other networks.

        Args:
            raw: The generator's output (n, c, h, w).

        Returns:
            The image itself, or the class probabilities of a layout.
        """
        return raw.softmax(1) if self.config.picture == "layout" else raw

    def compute_style(self, turn: Turn, pass_name: Pass, suffix: str = "") -> Tensor:
        """Compute the requested style.

        Args:
            turn: Everything that terms may read.
            pass_name: `latent` or `reference`.
            suffix: Empty for the first latent or reference, `2` for the second.

        Returns:
            Styles (n, *heads, s).
        """
        domain = turn.targets["domain"]
        if pass_name == "latent":
            style = turn.networks["mapping"](turn.targets[f"latent{suffix}"], domain)
        elif suffix and self.config.second_reference == "permuted":
            domain = turn.targets["domain2"]
            style = turn.networks["style_encoder"](turn.targets["reference2"], domain)
        else:
            style = turn.networks["style_encoder"](turn.batch["reference"][f"{self.config.picture}{suffix}"], domain)
        if self.config.restyle == "all":
            return style
        changed = self.condition.find_changed(self.unpack_batch(turn)[1], domain)
        return torch.where(changed[..., None], style, self.read_own_style(turn))

    def read_own_style(self, turn: Turn) -> Tensor:
        """Read the styles of the source faces in their own domains, once for all steps; they carry no graph."""
        image, own, _ = self.unpack_batch(turn)
        encoder = turn.networks["style_encoder"]
        # Autocast of torch before 2.11 caches the weights that it casts; cast without a graph, they would cut the
        # gradient of every later forward of the encoder.
        needs_graph = torch.is_autocast_enabled(image.device.type if not image.is_meta else "cpu")
        uses = ("style_encoder",)
        return turn.shared.compute_once("own style", lambda: encoder(image, own), uses=uses, grad=needs_graph).detach()

    def get_masks(self, turn: Turn) -> Masks | None:
        """Return the heat maps of the source faces, computed once a batch; None = there are none."""
        source = turn.batch["source"]
        if self.heat_maps.field is not None:
            both = source[self.heat_maps.field]
            return both[:, :1], both[:, 1:]
        if self.heat_maps.reads is None:
            return None
        picture = source[self.heat_maps.reads]
        return turn.shared.compute_once("masks", lambda: self.heat_maps(picture), uses=())

    def compute_cycle_masks(self, turn: Turn, translated: Tensor) -> Masks | None:
        """Return the heat maps for the way back: those of the source, or of the translation where it has its own."""
        if self.config.cycle_masks == "source" or self.heat_maps.reads != self.config.picture:
            return self.get_masks(turn)
        return self.heat_maps(translated.detach())

    def encode_source(self, turn: Turn, keep_graph: bool) -> Any:
        """Encode the source faces, once for all steps.

        Args:
            turn: Everything that terms may read.
            keep_graph: Keep the graph to the generator.

        Returns:
            What `generator.decode` needs.
        """
        generator: Any = turn.networks["generator"]
        return self.share_between_steps(
            turn, "encoded", lambda: generator.encode(self.unpack_batch(turn)[0]), ("generator",), keep_graph
        )

    def generate(self, turn: Turn, image: Tensor, style: Tensor, masks: Masks | None, use: str, encoded: Any) -> Tensor:
        """Run the generator with the noise of one forward.

        Args:
            turn: Everything that terms may read.
            image: The pictures to translate (n, c, h, w).
            style: Their styles.
            masks: Their heat maps.
            use: The forward, see `get_noise`.
            encoded: What `generator.encode` returned for the pictures; None = encode them.

        Returns:
            The generator's output (n, c, h, w).
        """
        output: Tensor = turn.networks["generator"](image, style, masks, encoded, self.get_noise(turn, use))
        return output

    def translate(self, turn: Turn, pass_name: Pass, keep_graph: bool) -> tuple[Tensor, Tensor]:
        """Translate the source faces, once for the discriminator's and the generator's step of a pass.

        The discriminator's step changes none of the networks used here, so the generator's step can reuse its pictures
        with their graph.

        Args:
            turn: Everything that terms may read.
            pass_name: `latent` or `reference`.
            keep_graph: Keep the graph to the networks.

        Returns:
            (the styles, the translated pictures).
        """

        def make() -> tuple[Tensor, Tensor]:
            encoded, style = self.encode_source(turn, keep_graph), self.compute_style(turn, pass_name)
            image = self.unpack_batch(turn)[0]
            return style, self.to_picture(self.generate(turn, image, style, self.get_masks(turn), pass_name, encoded))

        networks = ["generator", *(["mapping"] if pass_name == "latent" else [])]
        if pass_name == "reference" or self.config.restyle == "changed":
            networks.append("style_encoder")
        return self.share_between_steps(turn, f"translated {pass_name}", make, tuple(networks), keep_graph)

    @torch.no_grad()
    def translate_to_second_style(self, turn: Turn, pass_name: Pass) -> Tensor:
        """Translate the same faces in the second style, without a graph."""
        image, encoded = self.unpack_batch(turn)[0], self.encode_source(turn, keep_graph=False)
        style = self.compute_style(turn, pass_name, "2")
        return self.to_picture(self.generate(turn, image, style, self.get_masks(turn), f"{pass_name}2", encoded))


def name_noise_target(use: str, place: int) -> str:
    """Return the name among the targets of the noise that one forward of the generator adds at one place."""
    return f"noise {use} {place}"
