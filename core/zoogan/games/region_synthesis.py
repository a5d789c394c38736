"""Region synthesis: layouts are painted with the codes of their parts, drawn from noise or read off photos.

Source: SMILE (Romero et al. 2021), section 3.2; the reconstruction as in SEAN (Zhu et al. 2020), section 3.2. The
training of SMILE's image stage is not published.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from zoogan.config import get_component_name
from zoogan.errors import ConfigError
from zoogan.facts import Facts
from zoogan.games.config import RegionSynthesisConfig
from zoogan.games.synthesis import Synthesis
from zoogan.interfaces import Clock, Step, SynthesisedFace, Turn

PERIOD = 2  # of two iterations, one paints drawn codes and one those of the photos


class RegionSynthesis(Synthesis):
    """Synthesis with a region encoder: in every second iteration photos are painted again with their own codes.

    Steps: those of `Synthesis`; with a region encoder `generator` runs in even iterations and `reconstruction` in odd
    ones, and the discriminator judges the faces of the same kind.

    Terms of `reconstruction`: adversarial, reconstruction. Values for its extra terms: image, layout, synthesised,
    codes (n, k, code_dim), real_input and fake_input of the discriminator, and score.

    Args:
        config: The complete config of the run.
        facts: Facts about the data.
        components: The built component of each slot, by name of the slot.

    Raises:
        ConfigError: There is a region encoder, but the generator takes no layouts, or they differ in `code_dim`.
    """

    averages: ClassVar[tuple[str, ...]] = ("generator", "mapping", "region_encoder")
    config: RegionSynthesisConfig

    def __init__(self, config: RegionSynthesisConfig, facts: Facts, components: Mapping[str, Any]) -> None:
        super().__init__(config, facts, components)
        generator, encoder = components["generator"], components["region_encoder"]
        self.reads_codes = not encoder.is_empty
        if not self.reads_codes:
            self.averages = Synthesis.averages  # type: ignore[misc]  # of this instance, which has no region encoder
        elif not getattr(config.generator, "reads_latents", True):
            raise ConfigError(
                f"region_encoder: no layer of generator {get_component_name(config.generator)!r} reads codes with its "
                "settings: set region_encoder.use=none"
            )
        elif not generator.takes_layout:
            raise ConfigError(
                f"region_encoder: generator {get_component_name(config.generator)!r} takes no layouts and no codes of "
                "parts: set region_encoder.use=none, or use a generator that paints layouts"
            )
        elif encoder.code_dim != generator.code_dim:
            raise ConfigError(
                f"generator.code_dim={generator.code_dim}, region_encoder.code_dim={encoder.code_dim}: a code has one "
                "size; set them to the same number"
            )

    @property
    def steps(self) -> tuple[Step, ...]:
        """The steps of `Synthesis`, and `reconstruction`."""
        steps = super().steps
        if not self.reads_codes:
            return steps
        reconstruction = Step(
            "reconstruction", ("generator", "region_encoder"), self.compute_reconstruction_terms,
            self.get_reconstruction_weights, every=PERIOD, at=1,
        )  # fmt: skip
        order = []
        for step in steps:
            if step.name == "generator":
                order += [Step(step.name, step.trains, step.terms, step.weights, every=PERIOD), reconstruction]
            else:
                order.append(step)
        return tuple(order)

    def is_reconstruction_due(self, clock: Clock) -> bool:
        """Tell whether photos are painted with their own codes in this iteration."""
        return self.reads_codes and clock.iteration % PERIOD == 1

    def generate_fakes(self, turn: Turn) -> SynthesisedFace:
        """Generate faces without a graph: in drawn codes, or in odd iterations with the codes of the photos."""
        if not self.is_reconstruction_due(turn.clock):
            return super().generate_fakes(turn)
        with torch.no_grad():
            return self.reconstruct(turn)[0]

    def reconstruct(self, turn: Turn) -> tuple[SynthesisedFace, Tensor]:
        """Paint the photos of the batch again with their own codes; parts that the encoder cannot see get drawn ones.

        Returns:
            (the faces; their codes (n, k, code_dim)).
        """
        sample, networks = turn.batch["source"], turn.networks
        generator: Any = networks["generator"]
        codes, present = networks["region_encoder"](sample["image"], sample["layout"])
        with torch.no_grad():
            drawn = networks["mapping"](turn.draw.normal("latent", self.latent_dim, like=sample["image"]))
        codes = torch.where(present[..., None], codes, drawn.unflatten(1, codes.shape[1:]).to(codes.dtype))
        return self.generate(turn, generator.repeat_latent(codes.flatten(1))), codes

    def get_reconstruction_weights(self, clock: Clock) -> dict[str, float]:
        """Return the weights of the adversarial term, of the reconstruction and of the extra terms."""
        weights = {"adversarial": 1.0, "reconstruction": self.config.weights.reconstruction}
        return weights | self.get_extra_weights("reconstruction")

    def compute_reconstruction_terms(self, turn: Turn) -> dict[str, Tensor]:
        """Train generator and region encoder to paint photos again, and to fool the discriminator with the result."""
        synthesised, codes = self.reconstruct(turn)
        sample, fake = turn.batch["source"], self.make_fake_input(synthesised)
        score = self.score(turn, turn.networks["discriminator"], fake, "synthesised")
        terms = {
            "adversarial": self.adversarial.generator_loss(score),
            "reconstruction": (synthesised.image - sample["image"]).abs().mean(),
        }
        values = {
            "image": sample["image"], "layout": sample["layout"], "synthesised": synthesised, "codes": codes,
            "real_input": self.make_real_input(turn), "fake_input": fake, "score": score,
        }  # fmt: skip
        return terms | self.compute_extra_terms("reconstruction", turn, values)
