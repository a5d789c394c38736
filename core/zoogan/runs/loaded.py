"""An opened run, the result of `zoogan.load`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from zoogan.auxiliary.image_distance import DistanceChoice, choose_image_distance
from zoogan.conditions.attributes import parse_attribute_value
from zoogan.config import GameConfig, validate_model
from zoogan.config.registry import Registry
from zoogan.editors.config import InversionConfig
from zoogan.editors.inversion import Inversion, InversionCallback, invert_photos
from zoogan.editors.synthesis_editor import SynthesisEditor
from zoogan.editors.tuning import tune_generator
from zoogan.errors import ConfigError
from zoogan.facts import Facts
from zoogan.interfaces import Edit, Editor, Targets, Unavailable
from zoogan.interfaces.synthesis import collect_noise
from zoogan.names import suggest_name
from zoogan.runs.images import Photos, prepare_images
from zoogan.runs.latents import LATENT_SUFFIX, join_edits, read_latents
from zoogan.runs.layouts import Layouts, prepare_layouts

SAMPLE_BATCH = 16


class LoadedRun:
    """A trained run, ready to edit photos or to sample faces.

    Args:
        config: The complete config.
        facts: The facts about the data.
        editor: The editor with the run's networks.
        iteration: Completed iterations; None for weights that came from elsewhere.
        images: Items of the data that training consumed; None for weights that came from elsewhere.
        path: The run folder; None for a run that was never written.
        stages: What its stages gave, by name; empty for methods without stages.

    Attributes:
        networks: The networks by slot, in eval mode.
        device: Where the networks are.
    """

    def __init__(
        self,
        config: GameConfig,
        facts: Facts,
        editor: Editor,
        iteration: int | None = None,
        images: int | None = None,
        path: Path | None = None,
        stages: Mapping[str, Any] | None = None,
    ) -> None:
        self.config, self.facts, self.editor = config, facts, editor
        self.stages = dict(stages or {})
        self.iteration, self.images, self.path = iteration, images, path

    @property
    def networks(self) -> nn.ModuleDict:
        """The networks by slot."""
        return self.editor.networks

    @property
    def device(self) -> torch.device:
        """The device of the networks."""
        return next(self.networks.parameters()).device

    @property
    def synthesis_editor(self) -> SynthesisEditor:
        """The editor of a run that generates faces.

        Raises:
            ConfigError: This run edits photos.
        """
        if not isinstance(self.editor, SynthesisEditor):
            raise ConfigError("this run edits photos and makes no faces of its own; use `zoo edit`")
        return self.editor

    def prepare_images(self, images: Any) -> Float[Tensor, "n c s s"]:
        """Convert anything that shows faces to floats (n, c, s, s) in [-1, 1], see `zoogan.runs.images`.

        Raises:
            ConfigError: A tensor of another size, values outside [-1, 1], or an unsupported type.
        """
        return prepare_images(images, self.facts, self.device)

    # ---- edits ----

    def edit(
        self,
        images: Photos | Edit | None = None,
        *,
        layout: Layouts | None = None,
        own: Mapping[str, Any] | None = None,
        seed: int = 0,
        strength: float = 1.0,
        threshold: float | None = None,
        truncation: float | None = None,
        reference: Photos | None = None,
        donor: Photos | Edit | None = None,
        **options: Any,
    ) -> Edit:
        """Edit faces.

        Photos: `run.edit("me.jpg", Eyeglasses=1)`, `run.edit("me.jpg", domain="male", reference="he.jpg")`.
        Faces of a run that generates: `run.edit(run.sample(4), Smiling=1)`,
        `run.edit(run.sample(4), part="hair", from_seed=7)`.
        Maps of parts: `run.edit("me.jpg", layout="me.png", own={"Male": 1}, Eyeglasses=1)`; the result is the
        `segmentation` of the edit, which has no image.

        Args:
            images: See `prepare_images`. For a run that generates faces see `find_latents`: the latents of photos are
                found first, which takes a while. May be left out for a run that edits layouts and reads no photo.
            layout: For a run that edits layouts: the map of the parts of each face, see `prepare_layouts`.
            own: Attributes that the faces show, 0 or 1 by name, for a run that edits layouts; those that are not given
                are read off the layouts.
            seed: Seed of a drawn style, or of the search for latents.
            strength: 0 returns the input, 1 the edit.
            threshold: Makes the mask hard: 1 where it exceeds this.
            truncation: How far from the mean a drawn style may be, 0 to 1.
            reference: A face whose style is taken, or one for each image; see `prepare_images`. For a run that edits
                layouts a map, see `prepare_layouts`.
            donor: A face whose part is taken, or one for each image; anything that `images` may be. `from_seed=7`
                names a face that the run generates instead.
            options: Attributes with values in [0, 1], or `domain` with a name; attributes that are not named stay as
                they are. For faces made of parts `part`, one name or several, and `only`, `shape` or `texture`.

        Raises:
            ConfigError: An option that the run was not trained for, a value out of range, images that do not fit.
        """
        editor = self.editor
        if not editor.takes_layout and (layout is not None or own is not None):
            option = "layout" if layout is not None else "own"
            raise ConfigError(f"{option}: this run edits no maps of parts; leave it out")
        if images is None and not editor.takes_layout:
            raise ConfigError("images: name the faces to edit, such as a photo")
        if editor.takes_layout:
            if donor is not None:
                raise ConfigError("donor: this run takes styles from maps of other faces; use `reference`")
            image, targets = self.prepare_layout_edit(images, layout, options, own=own, reference=reference)
        elif isinstance(editor, SynthesisEditor):
            assert images is not None
            editor, image, targets = self._prepare_synthesis_edit(
                images, options, reference, donor, seed, threshold, truncation
            )
        elif donor is not None:
            raise ConfigError("donor: this run edits photos and takes no parts; use `reference`")
        else:
            image = self.prepare_images(images)
            targets = self.resolve_targets(image, options, reference)
        try:
            return editor.apply(
                image, targets, seed=seed, strength=float(strength), threshold=threshold, truncation=truncation
            )
        except ValueError as error:
            raise ConfigError(str(error)) from error

    def resolve_targets(
        self, image: Float[Tensor, "n c s s"], options: Mapping[str, Any], reference: Photos | None = None
    ) -> Targets:
        """Convert a person's options to targets for prepared images.

        Args:
            image: See `prepare_images`.
            options: See `edit`.
            reference: See `edit`.

        Raises:
            ConfigError: As `edit`.
        """
        try:
            request = self.editor.condition.parse(options)
            if reference is not None:
                request = replace(request, reference=self.prepare_images(reference))
            return self.editor.resolve(request, image)
        except ValueError as error:
            raise ConfigError(str(error)) from error

    def prepare_layouts(self, layouts: Layouts) -> Float[Tensor, "n k s s"]:
        """Convert anything that holds maps of parts to one-hot layouts, see `zoogan.runs.layouts`.

        Raises:
            ConfigError: Unreadable files, or values that are no part of the run.
        """
        return prepare_layouts(layouts, self.facts, self.device)

    def prepare_layout_edit(
        self,
        images: Photos | Edit | None,
        layout: Layouts | None,
        options: Mapping[str, Any],
        *,
        own: Mapping[str, Any] | None = None,
        reference: Layouts | None = None,
    ) -> tuple[Float[Tensor, "n c s s"], Targets]:
        """Convert a person's options to faces and targets, for a run that edits layouts; see `edit`.

        Raises:
            ConfigError: There is no layout, an input does not fit, or an attribute is unknown.
        """
        editor = self.editor
        if layout is None and isinstance(images, Edit) and images.segmentation is not None:
            layout, images = images.segmentation, images.image_or_none
        if layout is None:
            raise ConfigError("layout: this run edits the map of the parts of a face: give it too")
        if images is None and editor.reads_photos:
            raise ConfigError("images: this run reads the photo of a face beside its map of parts: give it too")
        layouts = self.prepare_layouts(layout)
        size = self.facts.image_size
        blank = layouts.new_zeros(len(layouts), self.facts.channels, size, size)
        image = blank if images is None else self.prepare_images(images)
        if len(image) != len(layouts):
            raise ConfigError(f"layout: {len(layouts)} maps for {len(image)} images: give one for each")
        try:
            request = editor.condition.parse(options)
            labels = {} if own is None else self._parse_own_labels(own)
            if reference is not None:
                request = replace(request, reference=self.prepare_layouts(reference))
            rows = torch.full((len(image), len(editor.attributes)), torch.nan, device=self.device)
            for name, value in labels.items():
                rows[:, editor.attributes.index(name)] = value
            return image, editor.resolve(request, image, rows) | {"layout": layouts}
        except ValueError as error:
            raise ConfigError(str(error)) from error

    def _parse_own_labels(self, own: Mapping[str, Any]) -> Mapping[str, float]:
        """Parse own labels, which may be in any combination; ConfigError lists all problems."""
        labels, problems = {}, []
        for name, word in own.items():
            value = parse_attribute_value(word)
            if name not in self.editor.attributes:
                hint, known = suggest_name(name, self.editor.attributes), ", ".join(self.editor.attributes)
                problems.append(f"own: {name}: this model does not know that attribute{hint}; it knows {known}")
            elif value not in (0.0, 1.0):
                problems.append(f"own: {name}: a face shows it or not: expected 0 or 1, got {word!r}")
            else:
                labels[name] = value
        if problems:
            raise ConfigError("\n".join(problems))
        return labels

    def _prepare_synthesis_edit(
        self,
        images: Photos | Edit,
        options: Mapping[str, Any],
        reference: Photos | None,
        donor: Photos | Edit | None,
        seed: int,
        threshold: float | None,
        truncation: float | None,
    ) -> tuple[SynthesisEditor, Float[Tensor, "n c s s"], Targets]:
        """Return the editor, the faces and their targets; options are checked before any latent is searched for.

        The editor is the run's own, or a copy whose generator was tuned to these faces.
        """
        editor = self.synthesis_editor
        if reference is not None:
            raise ConfigError("this run takes no style from a reference")
        try:
            request = editor.condition.parse(options)
            editor.check_options(threshold, truncation)
            editor.check_donor(request, donor is not None)
            face = self.find_latents(images, seed)
            if face.generator is not None:
                editor = editor.with_generator(face.generator)
            latents = face.extras["latents"].to(self.device, torch.float32)
            noise = [level.to(latents) for level in collect_noise(face.extras) or ()] or None
            image = editor.synthesise(latents, noise).image
            donor_latents = None if donor is None else self.find_latents(donor, seed).extras["latents"]
            request = replace(request, latents=latents, noise=noise, donor=donor_latents)
            return editor, image, editor.resolve(request, image)
        except ValueError as error:
            raise ConfigError(str(error)) from error

    # ---- faces and latents of a run that generates ----

    def sample(self, n: int = 1, *, seed: int = 0, truncation: float | None = None, cutoff: int | None = None) -> Edit:
        """Generate faces from the seeds `seed`, `seed + 1`...; each depends on its own seed alone.

        Args:
            n: The number of faces.
            seed: The first seed.
            truncation: How far from the mean face they may be, 0 to 1; None = 1.
            cutoff: How many rows of a face's latents are truncated, the coarse ones first; None = all.

        Returns:
            The faces; the latents and maps of noise are in `extras`.

        Raises:
            ConfigError: A run that generates no faces, n < 1, a truncation or a cutoff out of range.
        """
        editor = self.synthesis_editor
        if n < 1:
            raise ConfigError(f"n: got {n}, expected one face or more")
        seeds = range(seed, seed + n)
        batches = [seeds[first : first + SAMPLE_BATCH] for first in range(0, n, SAMPLE_BATCH)]
        try:
            return join_edits([editor.sample(batch, truncation=truncation, cutoff=cutoff) for batch in batches])
        except ValueError as error:
            raise ConfigError(str(error)) from error

    def invert(
        self,
        images: Photos,
        *,
        likeness: DistanceChoice = "auto",
        seed: int = 0,
        watch: InversionCallback = lambda iteration, terms: False,
        **settings: Any,
    ) -> Inversion:
        """Find the latents of photos, all at once: `run.edit(run.invert("me.jpg"), Smiling=1)`.

        With `tune=True` a copy of the generator is then tuned to the photos, and makes the edits of the result; the run
        stays as it is.

        Args:
            images: See `prepare_images`.
            likeness: Distance of a face from the photo: `auto` = LPIPS if its weights are available, else `l1`.
            seed: Seed of the search.
            watch: Called after every iteration, see `zoogan.editors.inversion.invert_photos`.
            settings: See `zoogan.editors.config.InversionConfig`: iterations, space, noise...

        Raises:
            ConfigError: A run that generates no faces, settings out of range, LPIPS without weights, images that do
                not fit.
        """
        editor = self.synthesis_editor
        config = validate_model(InversionConfig, editor.inversion.model_dump() | settings, Registry())
        try:
            measure = choose_image_distance(likeness, self.facts.image_size, self.device)
        except Unavailable as reason:
            raise ConfigError(str(reason)) from reason
        image = self.prepare_images(images)
        inversion = invert_photos(editor, image, measure, config, seed=seed, watch=watch)
        if not config.tune or inversion.iterations < config.iterations:  # `watch` stopped the search
            return inversion
        return tune_generator(editor, image, inversion, measure, config, watch=watch)

    def find_latents(self, images: Photos | Edit, seed: int = 0) -> Edit:
        """Return faces with their latents in `extras`.

        Args:
            images: What `sample`, `invert` or `edit` returned; w (n, style_dim) or w+ (n, rows, style_dim); files of
                latents (`.safetensors`); anything else shows photos, whose latents are found first, see `invert`.
            seed: Seed of the search.

        Raises:
            ConfigError: Files that cannot be read or are meant for another generator, images that do not fit.
        """
        editor, generator = self.synthesis_editor, self.synthesis_editor.generator
        rows, style_dim = generator.rows, generator.style_dim
        if isinstance(images, Edit):
            if "latents" not in images.extras:
                raise ConfigError("images: this edit has no latents; pass a result of `sample` or `invert`")
            shape = tuple(images.extras["latents"].shape[1:])
            if shape != (rows, style_dim):
                raise ConfigError(
                    f"images: latents of another generator: {shape} rows and numbers, this one's are {rows, style_dim}"
                )
            return images
        if isinstance(images, Tensor) and images.is_floating_point():
            if images.dim() == 2 and images.shape[1] == style_dim:
                return editor.synthesise(generator.repeat_latent(images.to(self.device, torch.float32)))
            if images.dim() == 3 and images.shape[1:] == (rows, style_dim):
                return editor.synthesise(images.to(self.device, torch.float32))
        items: Sequence[Any] = images if isinstance(images, list | tuple) else [images]
        files = [Path(item) for item in items if isinstance(item, str | Path) and Path(item).suffix == LATENT_SUFFIX]
        if files and len(files) < len(items):
            raise ConfigError("images: some are files of latents and some are not: edit them one by one")
        if not files:
            return self.invert(images, seed=seed)
        edits = read_latents(files, editor)
        if len({frozenset(edit.extras) for edit in edits}) > 1:
            raise ConfigError("images: some of these latents have maps of noise, some have none: edit them apart")
        if len({edit.generator for edit in edits}) > 1:
            raise ConfigError("images: not all of these latents have the same generator: edit them one by one")
        return join_edits(edits)
