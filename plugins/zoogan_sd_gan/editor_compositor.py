"""The compositor that takes the edits of another run, for photos without templates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from zoogan import ConfigError
from zoogan.interfaces import Composite, Compositor, Editor, Request
from zoogan.plugins import Facts, suggest_name
from zoogan_sd_gan.compositor_config import EditorCompositorConfig
from zoogan_sd_gan.placement import Placement


class EditorCompositor(Compositor):
    """Edits faces with another run; the mask is that of the edit, or where the edit changed the colours.

    Editors that draw styles always use seed 0.

    Args:
        config: Its settings.
        facts: Image size and attributes of the data.
    """

    templates = 1

    def __init__(self, config: EditorCompositorConfig, facts: Facts) -> None:
        self.config, self.facts = config, facts
        self.attributes = facts.attributes if config.attributes is None else config.attributes
        self._editor: Editor | None = None
        self._requests: list[Request] = []

    @property
    def editor(self) -> Editor:
        """The editor of the other run.

        Raises:
            RuntimeError: `connect` was not called.
        """
        if self._editor is None:
            raise RuntimeError("connect the compositor to the stages of the run before it composes")
        return self._editor

    def connect(self, stages: Mapping[str, Any]) -> None:
        """Take the editor of the stage that the config names.

        Raises:
            ConfigError: The stage is missing, edits no photos, or has another image size or other attributes.
        """
        name = self.config.stage
        if name not in stages:
            raise ConfigError(
                f"compositor.stage={name}: the run has no such stage{suggest_name(name, stages)}. Give it a run that "
                f"edits photos: --stage {name}=RUN"
            )
        run = stages[name]
        editor = getattr(run, "editor", None)
        where = f"stages.{name}: this run"
        if not isinstance(editor, Editor) or not (editor.reads_photos and editor.makes_images) or editor.needs_layout:
            raise ConfigError(f"{where} edits no photos; take one that does, such as a run of sagan")
        if run.facts.image_size != self.facts.image_size:
            raise ConfigError(
                f"{where} edits images of {run.facts.image_size} px, and the faces have {self.facts.image_size}; take "
                "one of the same size"
            )
        missing = [attribute for attribute in self.attributes if attribute not in editor.attributes]
        if self.config.attributes is None:
            self.attributes = tuple(name for name in self.attributes if name in editor.attributes)
        if not self.attributes or (missing and self.config.attributes is not None):
            raise ConfigError(
                f"{where} does not edit {', '.join(missing)}{suggest_name(missing[0], editor.attributes)}; it edits "
                f"{', '.join(editor.attributes) or 'no attributes'}. Set compositor.attributes, or take another run"
            )
        self._editor = editor
        self._requests = [editor.condition.parse({attribute: 1}) for attribute in self.attributes]

    def compose(
        self,
        face: Float[Tensor, "n c h w"],
        attribute: Int64[Tensor, " n"],
        template: Int64[Tensor, " n"],
        placement: Placement | None = None,
    ) -> Composite:
        """Edit each face towards its attribute; `template` and `placement` have no effect.

        The mask and the edit carry no gradient, the rest of the face does.
        """
        parameter = next(self.editor.networks.parameters())
        photo = face.detach().clamp(-1.0, 1.0).to(parameter.dtype)
        part, mask = torch.zeros_like(photo), torch.zeros_like(photo[:, :1])
        for number, request in enumerate(self._requests):
            edit = self.editor.apply(photo, self.editor.resolve(request, photo))
            if edit.mask is None:
                change = (edit.image - photo).abs().mean(1, keepdim=True)
                own_mask = (change / self.config.changed).clamp(max=1.0)
                own_part = edit.image * own_mask
            else:  # the edit is blended with the photo already
                own_mask = edit.mask
                own_part = edit.image - photo * (1.0 - own_mask)
            is_own = (attribute == number).view(-1, 1, 1, 1)
            part, mask = torch.where(is_own, own_part, part), torch.where(is_own, own_mask, mask)
        part, mask = part.to(face.dtype), mask.to(face.dtype)
        return Composite(face * (1.0 - mask) + part, mask)
