"""A trained run, opened: what `zoogan.load` returns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from zoogan.auxiliary.likeness import Choice, likeness_of
from zoogan.config import ConfigError, GameConfig, validate_model
from zoogan.config.registry import Registry
from zoogan.editors.config import InversionConfig
from zoogan.editors.inversion import Inversion, Watch, invert
from zoogan.editors.synthesis_editor import SynthesisEditor
from zoogan.editors.tuning import tuned
from zoogan.facts import Facts
from zoogan.interfaces import Edit, Editor, Targets, Unavailable
from zoogan.interfaces.synthesis import noise_among
from zoogan.pictures.photo import crop_to, read_photo, to_range
from zoogan.runs.latents import SUFFIX, read_latents

Photo = str | Path | Image.Image | Tensor
MADE_AT_ONCE = 16


def is_photo(tensor: Tensor) -> bool:
    """Whether a tensor is a photo as bytes (3, h, w)."""
    return tensor.dtype == torch.uint8 and tensor.dim() == 3 and len(tensor) == 3


class LoadedRun:
    """A trained run, ready to edit.

    networks: name -> module, in eval mode. facts: what the data said. editor: what every verb sees. iteration, images:
    how long it was trained; None for weights that came from elsewhere.
    """

    def __init__(
        self, config: GameConfig, facts: Facts, editor: Editor, iteration: int | None = None, images: int | None = None
    ) -> None:
        self.config, self.facts, self.editor = config, facts, editor
        self.iteration, self.images = iteration, images

    @property
    def networks(self) -> nn.ModuleDict:
        """The networks by name."""
        return self.editor.networks

    @property
    def device(self) -> torch.device:
        """Where the networks are."""
        return next(self.networks.parameters()).device

    def prepare(self, images: Any) -> Tensor:
        """Anything that shows faces as (n, c, s, s) in [-1, 1], of the run's own c channels.

        Floats (n, c, s, s) or (c, s, s) in [-1, 1] are taken as they are; paths, PIL images and photos as bytes
        (3, h, w) get the run's own crop, and are turned grey for a run of one channel.

        Raises:
            ConfigError: a tensor of another size, or values outside [-1, 1].
        """
        size = self.facts.image_size
        if isinstance(images, Tensor) and images.dtype != torch.uint8:
            tensor = images if images.dim() == 4 else images[None]
            if tensor.shape[1:] != (self.facts.channels, size, size) or not tensor.is_floating_point():
                raise ConfigError(
                    f"images: got {images.dtype} of shape {tuple(images.shape)}, expected floats of shape "
                    f"(n, {self.facts.channels}, {size}, {size}) in [-1, 1]; paths and PIL images are cropped for you"
                )
            if tensor.numel() and (tensor.min() < -1.001 or tensor.max() > 1.001):
                raise ConfigError(f"images: values from {tensor.min():.3g} to {tensor.max():.3g}, expected [-1, 1]")
            return tensor.to(self.device, torch.float32)
        many = list(images) if isinstance(images, list | tuple) else [images]
        if len(many) == 1 and isinstance(many[0], Tensor) and many[0].dim() == 4:
            many = list(many[0])
        wrong = [type(x).__name__ for x in many if not isinstance(x, Tensor | str | Path | Image.Image)]
        wrong += [f"{x.dtype} of shape {tuple(x.shape)}" for x in many if isinstance(x, Tensor) and not is_photo(x)]
        if wrong or not many:
            raise ConfigError(
                f"images: got {wrong[0] if wrong else 'an empty list'}; a list holds paths, PIL images or bytes "
                f"(3, h, w), floats in [-1, 1] come as one tensor (n, {self.facts.channels}, s, s)"
            )
        photos = [item if isinstance(item, Tensor) else read_photo(item) for item in many]
        crops = [crop_to(photo, self.facts) for photo in photos]
        return to_range(torch.stack(crops)).to(self.device)

    def edit(
        self,
        images: Tensor | Photo | Sequence[Photo] | Edit,
        *,
        seed: int = 0,
        strength: float = 1.0,
        threshold: float | None = None,
        truncation: float | None = None,
        reference: Tensor | Photo | Sequence[Photo] | None = None,
        donor: Tensor | Photo | Sequence[Photo] | Edit | None = None,
        **wishes: Any,
    ) -> Edit:
        """Edit faces: `run.edit("me.jpg", Eyeglasses=1)`, `run.edit("me.jpg", domain="male", reference="he.jpg")`; and
        those that a run makes: `run.edit(run.sample(4), Smiling=1)`, `run.edit(run.sample(4), part="hair",
        from_seed=7)`.

        Args:
            images: see `prepare`; for a run that makes faces, see `faces_of`: the latents of photos are found first,
                which takes a while.
            seed: of a drawn style, or of the search for latents. strength: 0 gives the input back, 1 the edit.
            threshold: make the mask hard.
            truncation: how far from the mean a drawn style may be, 0 to 1.
            reference: a face whose style to take, or one for each image; see `prepare`.
            donor: a face of which to take the part that is asked for, or one for each image; anything that `images`
                may be. Instead of it, `from_seed=7` names one that the run makes.
            wishes: attributes to values in [0, 1], or `domain` to a name; attributes that are not named stay as they
                are. For faces made of parts `part`, one name or several, and `only`, `shape` or `texture`.

        Raises:
            ConfigError: a wish that the run was not trained for, a value out of range, images that do not fit.
        """
        editor = self.editor
        if isinstance(editor, SynthesisEditor):
            editor, image, targets = self.asked_of_maker(images, wishes, reference, donor, seed, threshold, truncation)
        elif donor is not None:
            raise ConfigError("donor: this run edits photos and takes no parts of others; see `reference`")
        else:
            image = self.prepare(images)
            targets = self.targets(image, wishes, reference)
        try:
            return editor.apply(
                image, targets, seed=seed, strength=float(strength), threshold=threshold, truncation=truncation
            )
        except ValueError as error:
            raise ConfigError(str(error)) from error

    def targets(
        self,
        image: Tensor,
        wishes: Mapping[str, Any],
        reference: Tensor | Photo | Sequence[Photo] | None = None,
    ) -> Targets:
        """A person's wishes as targets for prepared images; see `edit`.

        Raises:
            ConfigError: as `edit`.
        """
        try:
            request = self.editor.condition.parse(wishes)
            if reference is not None:
                request = replace(request, reference=self.prepare(reference))
            return self.editor.resolve(request, image)
        except ValueError as error:
            raise ConfigError(str(error)) from error

    # ---- faces of its own ----

    @property
    def maker(self) -> SynthesisEditor:
        """The editor of a run that makes faces.

        Raises:
            ConfigError: this one makes none.
        """
        if not isinstance(self.editor, SynthesisEditor):
            raise ConfigError("this run edits photos and makes no faces of its own; use `zoo edit`")
        return self.editor

    def sample(self, n: int = 1, *, seed: int = 0, truncation: float | None = None, cutoff: int | None = None) -> Edit:
        """Faces from the seeds `seed`, `seed + 1`...: each is a pure function of its own seed.

        truncation: how far from the mean face they may be, 0 to 1; None = 1. cutoff: only so many rows of a face's
        latents are truncated, the coarse ones. The latents and maps of noise are in `extras`.

        Raises:
            ConfigError: a run that makes no faces, n < 1, a truncation or a cutoff out of range.
        """
        maker = self.maker
        if n < 1:
            raise ConfigError(f"n: got {n}, expected one face or more")
        seeds = range(seed, seed + n)
        try:
            return joined(
                [
                    maker.sample(seeds[first : first + MADE_AT_ONCE], truncation=truncation, cutoff=cutoff)
                    for first in range(0, n, MADE_AT_ONCE)
                ]
            )
        except ValueError as error:
            raise ConfigError(str(error)) from error

    def invert(
        self,
        images: Tensor | Photo | Sequence[Photo],
        *,
        likeness: Choice = "auto",
        seed: int = 0,
        watch: Watch = lambda iteration, terms: False,
        **settings: Any,
    ) -> Inversion:
        """Find the latents of photos, all at once: `run.edit(run.invert("me.jpg"), Smiling=1)`.

        With `tune=True` a copy of the generator is then tuned to the photos, and edits of what is returned are made by
        it; the run stays as it is.

        Args:
            images: see `prepare`.
            likeness: what tells how like a photo a face is: `auto` = LPIPS where its weights are, else `l1`.
            watch: see `zoogan.editors.inversion.invert`.
            settings: see `zoogan.games.config.InversionConfig`: iterations, space, noise...

        Raises:
            ConfigError: a run that makes no faces, settings out of range, LPIPS without weights, images that do not
                fit.
        """
        maker = self.maker
        config = validate_model(InversionConfig, maker.inversion.model_dump() | settings, Registry())
        try:
            chosen = likeness_of(likeness, self.facts.image_size, self.device)
        except Unavailable as reason:
            raise ConfigError(str(reason)) from reason
        image = self.prepare(images)
        found = invert(maker, image, chosen, config, seed=seed, watch=watch)
        if not config.tune or found.iterations < config.iterations:  # somebody stopped it
            return found
        return tuned(maker, image, found, chosen, config, watch=watch)

    def faces_of(self, images: Tensor | Photo | Sequence[Photo] | Edit, seed: int = 0) -> Edit:
        """Faces with their latents.

        images: what `sample`, `invert` or `edit` returned; w (n, style_dim) or w+ (n, rows, style_dim); files of
        latents (`.safetensors`); anything else shows photos, whose latents are found first, see `prepare`, `invert`.

        Raises:
            ConfigError: files that cannot be read or are meant for another generator, images that do not fit.
        """
        maker = self.maker
        if isinstance(images, Edit):
            if "latents" not in images.extras:
                raise ConfigError("images: that edit has no latents; what `sample` and `invert` return has")
            got, fits = tuple(images.extras["latents"].shape[1:]), (maker.generator.rows, maker.generator.style_dim)
            if got != fits:
                raise ConfigError(
                    f"images: latents of another generator: {got} rows and numbers, this one's are {fits}"
                )
            return images
        if isinstance(images, Tensor) and images.is_floating_point():
            rows, style_dim = maker.generator.rows, maker.generator.style_dim
            if images.dim() == 2 and images.shape[1] == style_dim:
                return maker.synthesise(maker.generator.extended(images.to(self.device, torch.float32)))
            if images.dim() == 3 and images.shape[1:] == (rows, style_dim):
                return maker.synthesise(images.to(self.device, torch.float32))
        many = list(images) if isinstance(images, list | tuple) else [images]
        files = [Path(item) for item in many if isinstance(item, str | Path) and Path(item).suffix == SUFFIX]
        if files and len(files) < len(many):
            raise ConfigError("images: some are files of latents and some are not: edit them one by one")
        if files:
            edits = read_latents(files, maker)
            if len({frozenset(edit.extras) for edit in edits}) > 1:
                raise ConfigError("images: some of these latents have maps of noise, some have none: edit them apart")
            if len({edit.generator for edit in edits}) > 1:
                raise ConfigError("images: not all of these latents have the same generator: edit them one by one")
            return joined(edits)
        return self.invert(images, seed=seed)

    def asked_of_maker(
        self,
        images: Any,
        wishes: Mapping[str, Any],
        reference: Any,
        donor: Any,
        seed: int,
        threshold: float | None,
        truncation: float | None,
    ) -> tuple[SynthesisEditor, Tensor, Targets]:
        """Who edits, the faces and the targets for them; what cannot be asked for is told before a latent is searched.

        The editor is the run's own, or one whose generator was tuned to these faces.
        """
        maker = self.maker
        if reference is not None:
            raise ConfigError("this run takes no style from a reference")
        try:
            request = maker.condition.parse(wishes)
            maker.check_options(threshold, truncation)
            maker.check_donor(request, donor is not None)
            face = self.faces_of(images, seed)
            if face.generator is not None:
                maker = maker.with_generator(face.generator)
            latents = face.extras["latents"].to(self.device, torch.float32)
            noise = [level.to(latents) for level in noise_among(face.extras) or ()] or None
            image = maker.synthesise(latents, noise).image
            other = None if donor is None else self.faces_of(donor, seed).extras["latents"]
            return maker, image, maker.resolve(replace(request, latents=latents, noise=noise, donor=other), image)
        except ValueError as error:
            raise ConfigError(str(error)) from error


def joined(edits: Sequence[Edit]) -> Edit:
    """Edits of several batches as one; the same generator made them all."""
    segmentations = [edit.segmentation for edit in edits if edit.segmentation is not None]
    return Edit(
        torch.cat([edit.image for edit in edits]),
        segmentation=torch.cat(segmentations) if segmentations else None,
        extras={name: torch.cat([edit.extras[name] for edit in edits]) for name in edits[0].extras},
        generator=edits[0].generator,
    )
