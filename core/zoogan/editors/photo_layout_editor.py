"""The editor of photos through their layouts: a photo is parsed, its layout is edited, and the face is painted anew."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from zoogan.editors.layout_attribute_editor import ENCODER_BATCH
from zoogan.editors.layout_editor import LayoutEditor
from zoogan.editors.photo_layout_graphs import join_photo_layout_graphs, make_parser_graphs
from zoogan.editors.region_editor import NO_LAYOUT, RegionEditor, spread_seeds
from zoogan.editors.style_options import check_style_options
from zoogan.errors import ConfigError
from zoogan.facts import Facts
from zoogan.interfaces import (
    Column,
    Edit,
    Editor,
    Graph,
    PartJudge,
    Pipelines,
    RegionCodes,
    Request,
    Seed,
    StyleCondition,
    Targets,
    make_example_faces,
)
from zoogan.interfaces.draws import derive_seed
from zoogan.layers.layout import make_layout

BACKGROUND = "background"
NO_OTHER_LAYOUT = (
    "the map of the other face's parts is unknown, because this run has no parser: take a run with one, or a drawn "
    "style (--seed)"
)


class PhotoLayoutEditor(Editor):
    """Edits the layout of a photo, then paints the edited layout with codes of parts.

    Attributes or the expression change, whichever the editor of layouts edits.

    A part keeps the code that the photo has. The parts of an attribute that changes as in a reference get the codes of
    the reference. A part that the photo does not show gets that of the reference, or else a drawn one.

    Args:
        painter: Paints layouts; the networks of the run itself.
        layouts: Edits layouts.
        parser: Reads parts and attributes off photos; None = layouts are given.
        regions: The parts that belong to an attribute, by its name.
        code_truncation: How far drawn codes are from their mean where `apply` is given no truncation, 0 to 1.

    Raises:
        ConfigError: The three disagree about the parts.

    Source: SMILE (Romero et al. 2021), section 3; official `demo.py`, `metrics/smileSYN.py`.
    """

    takes_layout = True
    takes_parts = True
    paints_layouts = True
    condition: StyleCondition

    def __init__(
        self,
        painter: RegionEditor,
        layouts: LayoutEditor,
        parser: PartJudge | None,
        regions: Mapping[str, Sequence[str]],
        code_truncation: float = 1.0,
    ) -> None:
        self.networks, self.painter, self.layouts, self.parser = painter.networks, painter, layouts, parser
        self.attributes, self.exclusive, self.clears = layouts.attributes, layouts.exclusive, layouts.clears
        self.condition, self.takes_drive = layouts.condition, layouts.takes_drive
        self.takes_truncation = not layouts.takes_drive  # which gives the style
        self.takes_reference, self.takes_whole_reference = layouts.takes_reference, layouts.takes_whole_reference
        self.grades_attributes = layouts.grades_attributes
        self.code_truncation = code_truncation
        self.needs_layout = parser is None
        self.can_keep_background = BACKGROUND in painter.parts
        self.mask_fields = ("segmentation",) if parser is None else ()
        known = {"the layout stage": layouts.parts} | ({} if parser is None else {"the parser": parser.parts})
        for who, names in known.items():
            if names != painter.parts:
                raise ConfigError(
                    f"{who} knows the parts {', '.join(names) or 'none'}, but the image stage paints "
                    f"{', '.join(painter.parts)}: train both on the same source"
                )
        self._regions = torch.zeros(len(self.attributes), len(painter.parts))
        for name, parts in regions.items():
            for part in parts:
                if name in self.attributes and part in painter.parts:
                    self._regions[self.attributes.index(name), painter.parts.index(part)] = 1
        self._pools: dict[tuple[int, int], RegionCodes] | None = None  # by attribute and value, to choose from

    @property
    def parts(self) -> tuple[str, ...]:
        """Names of the parts of a face."""
        return self.painter.parts

    @property
    def reads_labels(self) -> bool:
        """Whether the parser reads all attributes, or the layout editor can read them off the parser's layouts."""
        return self.parser is not None and (self.parser_reads_attributes or self.layouts.reads_labels)

    @property
    def takes_donor(self) -> bool:
        """Whether codes can be read off another photo."""
        return self.parser is not None and self.painter.reads_codes

    @property
    def parser_reads_attributes(self) -> bool:
        """Whether the parser reads every attribute."""
        return self.parser is not None and all(name in self.parser.attributes for name in self.attributes)

    # ---- what is read off photos ----

    def read_masks(self, sample: Mapping[str, Tensor], image: Float[Tensor, "n c h w"]) -> Targets:
        """Collect the layouts of faces, unless the parser reads them."""
        return {} if self.parser is not None else self.painter.read_masks(sample, image)

    @torch.no_grad()
    def parse_photo(self, image: Float[Tensor, "n c h w"], missing: str = NO_LAYOUT) -> Float[Tensor, "n k h w"]:
        """Read the layouts of photos, one-hot.

        Args:
            image: Photos in [-1, 1].
            missing: The message if there is no parser.

        Raises:
            ValueError: The run has no parser.
        """
        if self.parser is None:
            raise ValueError(missing)
        segmentation = self.parser.read_parts(image.float())
        assert segmentation is not None  # it has parts, see __init__
        layout = make_layout(segmentation, len(self.parts), image.dtype)
        return layout if layout.shape[2:] == image.shape[2:] else F.interpolate(layout, image.shape[2:])

    @torch.no_grad()
    def paint_again(
        self, image: Float[Tensor, "n c h w"], layout: Float[Tensor, "n k h w"] | None = None
    ) -> Float[Tensor, "n c h w"]:
        """Paint photos again with their own codes, so that nothing but the painter's error changes.

        Args:
            image: Photos in [-1, 1].
            layout: Their layouts; None = parsed.

        Raises:
            ValueError: The run can read no codes, or no layouts.
        """
        layout = self.parse_photo(image) if layout is None else layout
        own = self.painter.read_codes(image, layout)
        return self.painter.paint(self.painter.choose_codes(own, {}, [0] * len(image)), layout)

    @torch.no_grad()
    def predict_labels(
        self, image: Float[Tensor, "n c h w"], layout: Float[Tensor, "n k h w"] | None = None
    ) -> Float[Tensor, "n a"]:
        """Predict the labels, 0 or 1, of photos: by the parser if it reads them, else off their layouts.

        Args:
            image: Photos in [-1, 1].
            layout: Their layouts; None = parsed.
        """
        parser = self.parser
        if parser is None or not self.parser_reads_attributes:
            return self.layouts.predict_labels(self.parse_photo(image) if layout is None else layout)
        columns = [parser.attributes.index(name) for name in self.attributes]
        shown = parser.read_attributes(image.float()) > parser.thresholds
        return shown[:, columns].to(image.dtype)

    def set_layouts(self, layouts: Float[Tensor, "m k h w"]) -> None:
        """Set the layouts, one-hot, from which `sample` chooses by seed."""
        self.painter.set_layouts(layouts)

    def sample(
        self,
        seeds: Sequence[int],
        *,
        truncation: float | None = None,
        cutoff: int | None = None,
        layout: Float[Tensor, "#n k h w"] | None = None,
    ) -> Edit:
        """Paint layouts with drawn codes, see `RegionEditor.sample`."""
        return self.painter.sample(seeds, truncation=truncation, cutoff=cutoff, layout=layout)

    # ---- edits ----

    @torch.no_grad()
    def resolve(
        self, request: Request, image: Float[Tensor, "n c h w"], own: Float[Tensor, "n a"] | None = None
    ) -> Targets:
        """Turn a request into targets.

        Args:
            request: What the editor of layouts takes, parts of another face, or both. `reference`, `drive` and `donor`
                are photos, one for all or one for each. A reference without attributes gives everything: a head swap.
            image: Photos in [-1, 1].
            own: Labels of the faces, 0 or 1; NaN = read off the photo; None = all of them.

        Returns:
            The targets of the layout edit; perhaps `swapped` (n, k) and `donor_codes` (n, k, s); with a reference also
            `reference_codes` (n, k, s), `reference_present` (n, k) and, where everything is taken, `whole` (n,).

        Raises:
            ValueError: A wrong number of references, drives or donors; faces whose layout is needed and unknown.
        """
        layout = None
        if request.reference is not None:
            layout = self.parse_photo(request.reference.to(image), NO_OTHER_LAYOUT)
        drive = None if request.drive is None else self.parse_photo(request.drive.to(image), NO_OTHER_LAYOUT)
        targets = self.layouts.resolve(replace(request, reference=layout, drive=drive), image, own)
        if request.reference is not None and layout is not None and self.painter.reads_codes:
            codes, present = self.painter.read_codes(request.reference.to(image), layout)
            targets["reference_codes"] = codes.expand(len(image), -1, -1).clone()
            targets["reference_present"] = present.expand(len(image), -1).to(image.dtype)
            targets["whole"] = image.new_full((len(image),), float(not request.attributes))
        donor = None
        if request.donor is not None:
            photo = request.donor.to(image)
            donor = self.painter.read_codes(photo, self.parse_photo(photo, NO_OTHER_LAYOUT))
        return targets | self.painter.resolve_parts(request, len(image), donor)

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
        """Edit photos. Where only parts are asked for, the layout stays as it is.

        Args:
            image: Photos in [-1, 1].
            targets: What `resolve` returned; perhaps `layout` (n, k, h, w), one-hot, which is parsed otherwise; perhaps
                `keep_background` (n,), 1 = the background of both layouts keeps the photo's pixels.
            seed: Seed of drawn styles and codes, one for all faces or one for each.
            strength: How far styles and codes move from the face's own to the new ones; 0 returns the photo itself,
                anything else paints it anew.
            threshold: Must be None: there is no mask.
            truncation: How far drawn styles and codes may be from their means, 0 to 1; None = 1 for styles and
                `code_truncation` for codes. A reference gives its own style, so a truncation is refused beside it.

        Returns:
            The painted faces; `segmentation` is the edited layout; `extras` has `codes`, `style`, the labels `own` and
            `target`, and the `layout` of the photo.

        Raises:
            ValueError: There is neither a layout nor a parser; see also `LayoutEditor.apply`.
        """
        layout = targets["layout"] if "layout" in targets else self.parse_photo(image)
        seeds, inputs = spread_seeds(seed, len(image)), dict(targets) | {"layout": layout}
        edit = self.edit_layout(image, inputs, seeds, strength, threshold, truncation)
        extras = dict(edit.extras) | {"layout": layout}
        if strength == 0:
            return Edit(image, segmentation=edit.segmentation, extras=extras)
        assert edit.segmentation is not None
        edited = make_layout(edit.segmentation, len(self.parts), image.dtype)
        known = self.painter.read_codes(image, layout) if self.painter.reads_codes else None
        kept = self.painter.choose_codes(known, {}, seeds, self.code_truncation if truncation is None else truncation)
        codes = self.take_reference_codes(kept, known, targets, edit, seeds)
        codes = self.painter.replace_codes(codes, targets)
        codes = kept.lerp(codes, strength) if strength != 1 else codes
        painted = self.painter.paint(codes, edited)
        if "keep_background" in targets:
            painted = self.paste_background(painted, image, layout, edited, targets["keep_background"])
        notes = self.painter.list_part_notes(targets, edited) + self.list_reference_notes(targets, edit, known)
        return Edit(painted, segmentation=edit.segmentation, extras=extras | {"codes": codes}, notes=notes)

    def edit_layout(
        self,
        image: Float[Tensor, "n c h w"],
        targets: Targets,
        seeds: Sequence[int],
        strength: float,
        threshold: float | None,
        truncation: float | None,
    ) -> Edit:
        """Edit the layouts of photos; those for which no attribute is requested stay as they are.

        Args:
            image: The photos.
            targets: See `apply`; with `layout`.
            seeds: One seed a face.
            strength: See `apply`.
            threshold: See `apply`.
            truncation: See `apply`.

        Returns:
            The edited segmentations; `extras` has the labels `own` and `target`, NaN where they do not matter.
        """
        own, layout, is_redrawn = targets["own"], targets["layout"], self.layouts.find_redrawn(targets)
        if not bool(is_redrawn.any()):
            check_style_options(len(image), list(seeds), threshold, truncation, has_style=False)
            return Edit(None, segmentation=layout.argmax(1), extras={"own": own, "target": own})
        if bool(own.isnan().any()):
            own = torch.where(own.isnan(), self.predict_labels(image, layout), own)
        edit = self.layouts.apply(
            image, dict(targets) | {"own": own}, seed=seeds, strength=strength, threshold=threshold,
            truncation=truncation,
        )  # fmt: skip
        assert edit.segmentation is not None
        segmentation = torch.where(is_redrawn[:, None, None], edit.segmentation, layout.argmax(1))
        return Edit(None, segmentation=segmentation, extras=edit.extras)

    def find_changed(self, targets: Targets, edit: Edit) -> Bool[Tensor, "n a"]:
        """Find the attributes that change, and with a reference those that are to look as there."""
        changed: Tensor = edit.extras["own"] != edit.extras["target"]
        if "requested" in targets:  # what a requested attribute clears is no part of the request
            changed = changed & ~targets["requested"].isnan()
        return changed | (targets["restyled"] > 0) if "reference_codes" in targets else changed

    def list_reference_notes(self, targets: Targets, edit: Edit, own: RegionCodes | None) -> tuple[str, ...]:
        """List a sentence for each attribute that faces get as in a reference, where neither of them shows it."""
        if "reference_codes" not in targets:
            return ()
        present = targets["reference_present"]
        if own is not None:  # a part that the photo shows keeps its own code then
            present = present.maximum(own.present.to(present))
        shown = present @ self._regions.to(present).T > 0
        has_parts = self._regions.any(1).to(shown.device)
        absent = self.find_changed(targets, edit) & (edit.extras["target"] > 0) & has_parts & ~shown
        return tuple(
            f"{name}: the reference shows none, so its colours are drawn from the seed"
            for k, name in enumerate(self.attributes)
            if bool(absent[:, k].any())
        )

    def take_reference_codes(
        self,
        codes: Float[Tensor, "n k s"],
        own: RegionCodes | None,
        targets: Targets,
        edit: Edit,
        seeds: Sequence[int],
    ) -> Float[Tensor, "n k s"]:
        """Take the codes of a reference: for the parts of restyled attributes, and for parts that the photo lacks.

        Args:
            codes: The codes without the reference.
            own: The codes of the photos; None = unknown.
            targets: See `apply`.
            edit: The edit of the layouts, with own and target labels.
            seeds: Seeds that choose a reference in a guided editor, one a face.
        """
        changed = self.find_changed(targets, edit)
        regions = self._regions.to(codes)
        if "reference_codes" in targets:
            wanted = (changed.to(codes) @ regions + targets["whole"].to(codes)[:, None]) > 0
            if own is not None:
                wanted = wanted | ~own.present
            taken = wanted & (targets["reference_present"] > 0)
            return torch.where(taken[..., None], targets["reference_codes"].to(codes), codes)
        if self._pools is None:
            return codes
        codes = codes.clone()
        values = edit.extras["target"].long()
        for row, column in changed.nonzero().tolist():
            pool = self._pools[column, int(values[row, column])]
            other = derive_seed("reference", seeds[row], column) % len(pool.codes)  # as the layout editor chooses
            taken = (regions[column] > 0) & pool.present[other]
            codes[row, taken] = pool.codes[other, taken].to(codes)
        return codes

    def paste_background(
        self,
        painted: Float[Tensor, "n c h w"],
        image: Float[Tensor, "n c h w"],
        before: Float[Tensor, "n k h w"],
        after: Float[Tensor, "n k h w"],
        keeps: Float[Tensor, " n"],
    ) -> Float[Tensor, "n c h w"]:
        """Paste the photo's pixels where both layouts show the background.

        Raises:
            ValueError: There is no such part.
        """
        if not self.can_keep_background:
            raise ValueError(f"keep_background: none of the parts is called {BACKGROUND}")
        place = self.parts.index(BACKGROUND)
        mask = before[:, place, None] * after[:, place, None] * keeps.to(image)[:, None, None, None]
        return torch.where(mask > 0, image, painted)

    @torch.no_grad()
    def make_guided_editor(
        self, image: Float[Tensor, "m c h w"], own: Float[Tensor, "m a"], masks: Targets | None = None
    ) -> Editor:
        """Make a copy of this editor that takes styles and codes of each changed attribute from a face that shows it.

        Raises:
            ValueError: No face shows one of the attributes, or none lacks one.
        """
        layout = (masks or {}).get("layout")
        if layout is None:
            layout = torch.cat([self.parse_photo(batch, NO_OTHER_LAYOUT) for batch in image.split(ENCODER_BATCH)])
        guided = copy.copy(self)
        layouts = self.layouts.make_guided_editor(image, own, {"layout": layout})
        assert isinstance(layouts, LayoutEditor)
        guided.layouts = layouts
        if not self.painter.reads_codes:
            return guided
        batches = zip(image.split(ENCODER_BATCH), layout.split(ENCODER_BATCH))
        codes, present = (torch.cat(tensors) for tensors in zip(*(self.painter.read_codes(*pair) for pair in batches)))
        guided._pools = {
            (k, value): RegionCodes(codes[own[:, k] == value], present[own[:, k] == value])
            for k in range(len(self.attributes))
            for value in (0, 1)
        }
        return guided

    def make_graphs(self, facts: Facts) -> Pipelines:
        """Make the graphs of the parser, of the layout editor (its generator is `layout_generator`), and the painter.

        Raises:
            ValueError: The parser gives no probabilities.
        """
        parser = None if self.parser is None else make_parser_graphs(self.parser, facts)
        if parser is not None and self.parser_reads_attributes and self.attributes:
            labels = Graph("labels", self.predict_labels, {"image": make_example_faces(facts)}, ("own",))
            parser = (*parser, labels)
        graphs = self.painter.make_graphs(facts), self.layouts.make_graphs(facts)
        return join_photo_layout_graphs(*graphs, parser, self.code_truncation)

    def make_columns(
        self, image: Float[Tensor, "n c h w"], attributes: Float[Tensor, "n a"], masks: Targets | None = None
    ) -> list[Column]:
        """Make the columns of a sample grid: the layout, the photo painted again, and edits with their layouts."""
        masks, classes = dict(masks or {}), len(self.parts)
        layout = masks["layout"] if "layout" in masks else self.parse_photo(image)
        columns = [Column("layout", layout.argmax(1), classes=classes)]
        if self.painter.reads_codes:
            columns.append(Column("own codes", self.paint_again(image, layout)))
        for caption, targets, _ in self.layouts.list_column_edits(attributes, layout):
            edit = self.apply(image, targets | {"layout": layout})
            assert edit.segmentation is not None
            columns.append(Column(f"{caption}, layout", edit.segmentation, classes=classes))
            columns.append(Column(caption, edit.image))
        return columns
