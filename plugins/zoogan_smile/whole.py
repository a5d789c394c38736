"""The whole method of SMILE (Romero et al. 2021): the image stage, whose editor goes through all stages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from zoogan import ConfigError
from zoogan.editors import LayoutEditor, PhotoLayoutEditor, RegionEditor
from zoogan.games import RegionSynthesis
from zoogan.interfaces import Editor, Networks
from zoogan.plugins import Facts
from zoogan_smile.whole_config import PAINTED_PARTS, SmileConfig


class Smile(RegionSynthesis):
    """The game of the image stage. No term reads the other stages; the editor does.

    Args:
        config: The complete config of the run.
        facts: Facts about the data.
        components: The built component of each slot, by name of the slot; `stages` has `layout` and perhaps `parser`.
    """

    config: SmileConfig

    def __init__(self, config: SmileConfig, facts: Facts, components: Mapping[str, Any]) -> None:
        super().__init__(config, facts, components)
        self.stages: Mapping[str, Any] = components["stages"]
        if not self.takes_layout:
            raise ConfigError("generator: the image stage of SMILE paints layouts; use one that does, like smile-image")

    def list_warnings(self) -> Sequence[str]:
        """Warn of attributes in `painted_parts` that neither the data nor the published method has."""
        known = (*self.facts.attributes, *PAINTED_PARTS)
        return (
            *super().list_warnings(),
            *(
                f"painted_parts.{name}: no attribute is called so"
                for name in self.config.painted_parts
                if name not in known
            ),
        )

    def make_editor(self, networks: Networks, *, attributes: tuple[str, ...]) -> Editor:
        """Make an editor that parses photos, edits their layouts, and paints them."""
        painter = RegionEditor(networks, self.facts, self.mean_latent)
        layouts = self.stages["layout"].editor
        if not isinstance(layouts, LayoutEditor):
            raise ConfigError(
                "stages.layout: this run edits no layouts; take a run of smile-layout, or of another method that does"
            )
        return PhotoLayoutEditor(
            painter, layouts, self.stages.get("parser"), self.config.painted_parts, self.config.code_truncation
        )
