"""An editor of photos that takes everything a request may carry, simple enough to compute by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from zoogan.conditions.attributes import AttributeCondition
from zoogan.conditions.config import AttributesConfig
from zoogan.config import LayoutUse, compose_config
from zoogan.config.registry import Registry
from zoogan.facts import Facts
from zoogan.interfaces import Edit, Editor, Request
from zoogan.interfaces.draws import derive_seed
from zoogan.runs.folder import RunFolder
from zoogan.runs.loaded import LoadedRun

SIZE = 16
PARTS = ("background", "face", "hair")
FACTS = Facts(image_size=SIZE, attributes=("Eyeglasses", "Male"), parts=PARTS)


def parse_layout(image: Tensor) -> Tensor:
    """Parse every photo alike: hair above, the face in the middle, background below."""
    parts = torch.arange(SIZE).mul(3).div(SIZE, rounding_mode="floor").sub(2).neg()
    return (parts[None, :, None] == torch.arange(3)[:, None, None]).expand(len(image), -1, -1, SIZE).to(image)


class ToyPhotoEditor(Editor):
    """Edits photos: a bare reference replaces everything, a donor's part its region, a drive is blended in.

    Eyeglasses make the face 0.25 brighter, or darker without them, a drawn style up to 0.1.
    """

    takes_reference = takes_whole_reference = takes_layout = takes_parts = takes_drive = True
    can_keep_background = paints_layouts = True

    def __init__(self) -> None:
        self.networks = nn.ModuleDict({"none": nn.Conv2d(1, 1, 1)})
        self.attributes = FACTS.attributes
        self.condition = AttributeCondition(AttributesConfig(), FACTS)
        self.pool: Tensor | None = None
        self.batches: list[int] = []
        self.own: Tensor | None = None

    @property
    def parts(self) -> tuple[str, ...]:
        return PARTS

    def resolve(self, request: Request, image: Tensor, own: Tensor | None = None) -> dict[str, Tensor]:
        self.own = own
        targets = {"brighter": torch.full((len(image),), 0.5 * request.attributes.get("Eyeglasses", 0.5) - 0.25)}
        for name, faces in (("whole", request.reference), ("drive", request.drive)):
            if faces is not None:
                targets[name] = faces.expand(len(image), -1, -1, -1)
        if request.parts:
            donor = request.donor
            if request.from_seed is not None:
                donor = self.sample([request.from_seed], layout=parse_layout(image[:1])).image
            assert donor is not None
            targets["donor"] = donor.expand(len(image), -1, -1, -1)
            chosen = torch.tensor([float(part in request.parts) for part in PARTS])
            targets["chosen"] = chosen.expand(len(image), -1)
        return targets

    def apply(self, image: Tensor, targets: Mapping[str, Tensor], *, seed: Any = 0, **options: Any) -> Edit:
        self.batches.append(len(image))
        layout = targets["layout"] if "layout" in targets else parse_layout(image)
        face = layout[:, 1:2]
        result = targets.get("whole", image)
        if "donor" in targets:
            region = (layout * targets["chosen"][:, :, None, None]).sum(1, keepdim=True)
            result = torch.where(region > 0, targets["donor"], result)
        if "drive" in targets:
            result = (result + targets["drive"]) / 2
        shift = 0.1 * torch.rand(1, generator=torch.Generator().manual_seed(derive_seed("style", seed)))
        result = result + face * (targets["brighter"][:, None, None, None] + shift)
        if "keep_background" in targets:
            kept = layout[:, :1] * targets["keep_background"][:, None, None, None]
            result = torch.where(kept > 0, image, result)
        return Edit(result.clamp(-1, 1), segmentation=layout.argmax(1))

    def set_layouts(self, pool: Tensor) -> None:
        self.pool = pool

    def sample(
        self,
        seeds: Sequence[int],
        *,
        truncation: float | None = None,
        cutoff: int | None = None,
        layout: Tensor | None = None,
    ) -> Edit:
        if layout is None:
            if self.pool is None:
                raise ValueError("give the layout to paint")
            layout = self.pool[[seed % len(self.pool) for seed in seeds]]
        layout = layout.expand(len(seeds), -1, -1, -1)
        codes = [torch.rand(3, 3, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
        painted = torch.einsum("nkhw,nkc->nchw", layout, torch.stack(codes)) * 2 - 1
        return Edit(painted * (1.0 if truncation is None else truncation), segmentation=layout.argmax(1))


def write_photo_run(path: Path, registry: Registry, layout_use: LayoutUse = "optional") -> LoadedRun:
    """Write config and facts of a run whose editor is the toy, and open it.

    The registry's `sagan` then says that its runs use layouts in this way.
    """
    method = registry.methods["sagan"]

    class ToyConfig(method.config):  # type: ignore[name-defined, misc]
        @property
        def layout_use(self) -> LayoutUse:
            return layout_use

    registry.methods["sagan"] = replace(method, config=ToyConfig)
    data = {"source": "drawn", "image_size": 32, "attributes": list(FACTS.attributes), "faces": 8, "held_out": 8}
    config = compose_config(registry.methods["sagan"], registry, sets={"data": data})
    RunFolder(path).write_config(config, FACTS)
    return LoadedRun(config, FACTS, ToyPhotoEditor(), 3, path=path)
