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
from zoogan.config import GameConfig, validate, validate_model
from zoogan.config.registry import Registry
from zoogan.editors.config import InversionConfig
from zoogan.editors.inversion import Inversion, InversionCallback, invert_photos
from zoogan.editors.synthesis_editor import SynthesisEditor
from zoogan.editors.tuning import tune_generator
from zoogan.errors import ConfigError
from zoogan.facts import Facts
from zoogan.interfaces import Edit, Editor, Targets, Unavailable
from zoogan.interfaces.pixels import check_pixels_finite
from zoogan.interfaces.synthesis import collect_noise
from zoogan.names import import_object
from zoogan.paths import expand_path
from zoogan.plugins.host import get_zoo
from zoogan.resources import run_in_batches
from zoogan.runs.images import Photos, ValueRange, is_float_array, prepare_images
from zoogan.runs.latents import LATENT_SUFFIX, join_edits, read_latents
from zoogan.runs.layouts import Layouts, prepare_layouts
from zoogan.runs.requests import EditInputs, list_input_problems, prepare_edit

SAMPLE_BATCH = 16
LISTED_NAMES = 5  # of attributes or domains in the repr
LOAD, EXPORT = "zoogan.runs.opening:load", "zoogan.workflows.export_run:export_run"  # which import this module
PUSH = "zoogan.workflows.push_run:push"
NO_GENERATOR = (
    "generator: faces are drawn from seeds, so that each is the same in every batch and on every device; use seed=7"
)


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
        checkpoint: The checkpoint that was opened, see `zoogan.load`; None = the final model.

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
        checkpoint: int | str | None = None,
    ) -> None:
        self.config, self.facts, self.editor = config, facts, editor
        self.stages = dict(stages or {})
        self.iteration, self.images, self.path, self.checkpoint = iteration, images, path, checkpoint

    @classmethod
    def from_pretrained(cls, path: str | Path, **options: Any) -> LoadedRun:
        """Open a run: `zoogan.load` under the name that other libraries give it."""
        run: LoadedRun = import_object(LOAD)(path, **options)
        return run

    def __getstate__(self) -> dict[str, Any]:
        """Return what is pickled: the config as values, because classes of components may have no importable name."""
        return vars(self) | {"config": self.config.model_dump(mode="json")}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        """Restore what `__getstate__` returned."""
        registry, values = get_zoo().registry, state["config"]
        vars(self).update(state, config=validate(registry.methods[values["method"]], registry, values))

    def __repr__(self) -> str:
        """Return a line such as `LoadedRun(sagan, 64 px, Eyeglasses, 1500 iterations, cpu)`."""
        names = list(self.attributes or self.facts.domains)
        more = len(names) - LISTED_NAMES
        words = [self.config.method, f"{self.facts.image_size} px", *names[:LISTED_NAMES]]
        words += [f"{more} more"] if more > 0 else []
        words += [] if self.iteration is None else [f"{self.iteration} iteration{'' if self.iteration == 1 else 's'}"]
        return f"LoadedRun({', '.join([*words, str(self.device)])})"

    @property
    def networks(self) -> nn.ModuleDict:
        """The networks by slot."""
        return self.editor.networks

    @property
    def device(self) -> torch.device:
        """The device of the networks."""
        return next(self.networks.parameters()).device

    @property
    def attributes(self) -> tuple[str, ...]:
        """The names of the attributes that an edit may set."""
        return self.editor.attributes

    def to(self, device: str | torch.device) -> LoadedRun:
        """Move this run to a device, as `nn.Module.to` does. Its files are read again.

        Args:
            device: auto (the best device present), cuda, mps or cpu.

        Returns:
            The run itself.

        Raises:
            ConfigError: No such device, or the run's files are gone or were trained further since it was opened.
        """
        if self.path is None:
            raise ConfigError("this run has no folder to be read from again; build it on its device")
        other: LoadedRun = import_object(LOAD)(self.path, checkpoint=self.checkpoint, device=device)
        if other.iteration != self.iteration:
            raise ConfigError(
                f"{self.path}: trained to iteration {other.iteration} since it was opened at {self.iteration}; open it "
                f"again with zoogan.load(..., device={str(device)!r})"
            )
        vars(self).update(vars(other))
        return self

    def save(self, folder: str | Path) -> Path:
        """Save what `zoogan.load` needs, see `zoogan.export_run`: config, facts, model, directions and stages.

        Args:
            folder: A new or an empty folder.

        Returns:
            The folder.

        Raises:
            ConfigError: The folder is in use, or this run is opened at a checkpoint or has no files.
        """
        if self.checkpoint is not None:
            raise ConfigError(f"this run is opened at checkpoint {self.checkpoint}; open its model to save it")
        saved: Path = import_object(EXPORT)(self, folder)
        return saved

    save_pretrained = save

    def push_to_hub(self, repository: str, **options: Any) -> str:
        """Push this run to the Hugging Face Hub, see `zoogan.push`.

        Args:
            repository: `owner/name`.
            options: See `zoogan.push`.

        Returns:
            The address of its page.
        """
        address: str = import_object(PUSH)(self, repository, **options)
        return address

    @property
    def synthesis_editor(self) -> SynthesisEditor:
        """The editor of a run that generates faces.

        Raises:
            ConfigError: This run edits photos.
        """
        if not isinstance(self.editor, SynthesisEditor):
            raise ConfigError("this run edits photos and makes no faces of its own; use `zoo edit`")
        return self.editor

    def prepare_images(self, images: Any, value_range: ValueRange | None = None) -> Float[Tensor, "n c s s"]:
        """Convert anything that shows faces to floats (n, c, s, s) in [-1, 1].

        Args:
            images: Photos: paths, folders, PIL images, bytes, open files, arrays or tensors, one or several. Floats at
                the size of the run are taken as they are; everything else is cropped as the run's data was.
            value_range: The numbers of black and white in floats. None = (-1, 1) if any is negative, else (0, 1) with a
                warning.

        Raises:
            ConfigError: Pictures that cannot be read, floats outside of their range, or an unsupported type or shape.
        """
        return prepare_images(images, self.facts, self.device, value_range)

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
        drive: Photos | Layouts | None = None,
        keep_background: bool = False,
        value_range: ValueRange | None = None,
        **options: Any,
    ) -> Edit:
        """Edit faces; `run(...)` is the same.

        Photos: `run.edit("me.jpg", Eyeglasses=1)`, `run.edit("me.jpg", domain="male", reference="he.jpg")`.
        Photos of a run that knows parts: `run.edit("me.jpg", part="hair", donor="other.jpg")`.
        Faces of a run that generates: `run.edit(run.sample(4), Smiling=1)`,
        `run.edit(run.sample(4), part="hair", from_seed=7)`.
        Maps of parts: `run.edit("me.jpg", layout="me.png", own={"Male": 1}, Eyeglasses=1)`; the result is the
        `segmentation` of the edit, which has no image.

        Args:
            images: See `prepare_images`. For a run that generates faces see `find_latents`: the latents of photos are
                found first, which takes a while. May be left out for a run that edits layouts and reads no photo.
            layout: For a run that takes layouts: the map of the parts of each face, see `prepare_layouts`.
            own: Attributes that the faces show, 0 or 1 by name, for a run that takes layouts; those that are not given
                are read off the faces.
            seed: Seed of a drawn style, or of the search for latents.
            strength: 0 returns the input, 1 the edit.
            threshold: Makes the mask hard: 1 where it exceeds this.
            truncation: How far from the mean a drawn style may be, 0 to 1.
            reference: A face whose style is taken, or one for each image: photos, or maps for a run whose edits are
                maps. Some runs take everything of a reference without further options.
            donor: A face whose part is taken, or one for each image; anything that `images` may be. `from_seed=7`
                names a face that the run generates instead.
            drive: A face whose pose and expression are taken, or one for each image, for a run that re-enacts: photos,
                or maps for a run whose edits are maps. One image may be driven by several.
            keep_background: Whether the background of the input stays, for a run that can tell it.
            value_range: The numbers of black and white in arrays and tensors of floats, see `prepare_images`.
            options: Attributes with values in [0, 1], or `domain` with a name; attributes that are not named stay as
                they are. For faces made of parts `part`, one name or several, and `only`, `shape` or `texture`.

        Raises:
            ConfigError: An option that the run was not trained for, a value out of range, images that do not fit.
            NotFinite: A pixel of the result is NaN or infinite.
        """
        editor = self.editor
        inputs = EditInputs(images, layout, own, reference, donor, drive, keep_background, value_range)
        if editor.can_sample:
            editor, image, targets = self._prepare_synthesis_edit(inputs, options, seed, threshold, truncation)
        else:
            image, targets = self.prepare_edit(inputs, options)
        try:
            edit = editor.apply(
                image, targets, seed=seed, strength=float(strength), threshold=threshold, truncation=truncation
            )
            return check_edit_finite(edit)
        except ValueError as error:
            raise ConfigError(str(error)) from error

    __call__ = edit

    def prepare_layouts(self, layouts: Layouts) -> Float[Tensor, "n k s s"]:
        """Convert anything that holds maps of parts to one-hot layouts, see `zoogan.runs.layouts`.

        Raises:
            ConfigError: Unreadable files, or values that are no part of the run.
        """
        return prepare_layouts(layouts, self.facts, self.device)

    def prepare_edit(self, inputs: EditInputs, options: Mapping[str, Any]) -> tuple[Float[Tensor, "n c s s"], Targets]:
        """Convert a person's inputs and options to faces and targets, for a run that edits photos or layouts.

        Args:
            inputs: The faces, and what else is given.
            options: See `edit`.

        Raises:
            ConfigError: As `edit`.
        """
        return prepare_edit(self.editor, self.facts, self.device, inputs, options)

    def _prepare_synthesis_edit(
        self,
        inputs: EditInputs,
        options: Mapping[str, Any],
        seed: int,
        threshold: float | None,
        truncation: float | None,
    ) -> tuple[SynthesisEditor, Float[Tensor, "n c s s"], Targets]:
        """Return the editor, the faces and their targets; options are checked before any latent is searched for.

        The editor is the run's own, or a copy whose generator was tuned to these faces.
        """
        editor, donor = self.synthesis_editor, inputs.donor
        problems = list_input_problems(editor, replace(inputs, donor=None))
        if problems:
            raise ConfigError("\n".join(problems))
        assert inputs.images is not None
        try:
            request = editor.condition.parse(options)
            editor.check_options(threshold, truncation)
            editor.check_donor(request, donor is not None)
            face = self.find_latents(inputs.images, seed, inputs.value_range)
            if face.generator is not None:
                editor = editor.with_generator(face.generator)
            latents = face.extras["latents"].to(self.device, torch.float32)
            noise = [level.to(latents) for level in collect_noise(face.extras) or ()] or None
            image = editor.synthesise(latents, noise).image
            donor_latents = None
            if donor is not None:
                donor_latents = self.find_latents(donor, seed, inputs.value_range).extras["latents"]
            request = replace(request, latents=latents, noise=noise, donor=donor_latents)
            return editor, image, editor.resolve(request, image)
        except ValueError as error:
            raise ConfigError(str(error)) from error

    # ---- faces and latents of a run that generates ----

    def sample(
        self,
        n: int = 1,
        *,
        seed: int = 0,
        truncation: float | None = None,
        cutoff: int | None = None,
        layout: Layouts | None = None,
        generator: None = None,
    ) -> Edit:
        """Generate faces from the seeds `seed`, `seed + 1`...; each depends on its own seed alone.

        Args:
            n: The number of faces.
            seed: The first seed.
            truncation: How far from the mean face they may be, 0 to 1; None = 1.
            cutoff: How many rows of a face's latents are truncated, the coarse ones first; None = all.
            layout: For a run that paints layouts: maps of parts, see `prepare_layouts`; the faces take them in turn.
                None = those of `Editor.set_layouts`, which `zoogan.workflows.set_sample_layouts` reads from the source.
            generator: Must be None: seeds take the place of torch's generators.

        Returns:
            The faces; for a run that generates faces, the latents and maps of noise are in `extras`.

        Raises:
            ConfigError: A run that generates no faces, n < 1, a truncation or a cutoff out of range, layouts for a
                run that paints none, or a generator.
        """
        editor, problems = self.editor, []
        if not (editor.can_sample or editor.also_samples or editor.paints_layouts):
            problems.append("this run edits photos and makes no faces of its own; use `zoo edit`")
        if layout is not None and not editor.paints_layouts:
            problems.append("layout: this run paints no given maps of parts; leave it out")
        problems += [] if generator is None else [NO_GENERATOR]
        if n < 1:
            problems.append(f"n: got {n}, expected one face or more")
        if problems:
            raise ConfigError("\n".join(problems))
        layouts = None if layout is None else self.prepare_layouts(layout)

        def draw(rows: Sequence[int]) -> Edit:
            own = None if layouts is None else layouts[[row % len(layouts) for row in rows]]
            seeds = range(seed + rows[0], seed + rows[-1] + 1)
            return editor.sample(seeds, truncation=truncation, cutoff=cutoff, layout=own)

        try:
            return check_edit_finite(join_edits(list(run_in_batches(range(n), SAMPLE_BATCH, draw))))
        except ValueError as error:
            raise ConfigError(str(error)) from error

    def invert(
        self,
        images: Photos,
        *,
        likeness: DistanceChoice = "auto",
        seed: int = 0,
        value_range: ValueRange | None = None,
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
            value_range: See `prepare_images`.
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
        image = self.prepare_images(images, value_range)
        inversion = invert_photos(editor, image, measure, config, seed=seed, watch=watch)
        if not config.tune or inversion.iterations < config.iterations:  # `watch` stopped the search
            return inversion
        return tune_generator(editor, image, inversion, measure, config, watch=watch)

    def find_latents(self, images: Photos | Edit, seed: int = 0, value_range: ValueRange | None = None) -> Edit:
        """Return faces with their latents in `extras`.

        Args:
            images: What `sample`, `invert` or `edit` returned; w (n, style_dim) or w+ (n, rows, style_dim); files of
                latents (`.safetensors`); anything else shows photos, whose latents are found first, see `invert`.
            seed: Seed of the search.
            value_range: See `prepare_images`.

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
        numbers = torch.tensor(images) if is_float_array(images) else images
        if isinstance(numbers, Tensor) and numbers.is_floating_point():
            if not bool(torch.isfinite(numbers).all()):
                raise ConfigError("images: these numbers hold NaN or infinity; pass finite latents or pixels")
            numbers = numbers.to(self.device, torch.float32)
            if numbers.dim() == 2 and numbers.shape[1] == style_dim:
                return editor.synthesise(generator.repeat_latent(numbers))
            if numbers.dim() == 3 and numbers.shape[1:] == (rows, style_dim):
                return editor.synthesise(numbers)
        items: Sequence[Any] = images if isinstance(images, list | tuple) else [images]
        files = [
            expand_path(item) for item in items if isinstance(item, str | Path) and Path(item).suffix == LATENT_SUFFIX
        ]
        if files and len(files) < len(items):
            raise ConfigError("images: some are files of latents and some are not: edit them one by one")
        if not files:
            return self.invert(images, seed=seed, value_range=value_range)
        edits = read_latents(files, editor)
        if len({frozenset(edit.extras) for edit in edits}) > 1:
            raise ConfigError("images: some of these latents have maps of noise, some have none: edit them apart")
        if len({edit.generator for edit in edits}) > 1:
            raise ConfigError("images: not all of these latents have the same generator: edit them one by one")
        return join_edits(edits)


def check_edit_finite(edit: Edit) -> Edit:
    """Return an edit whose pixels are numbers.

    Raises:
        NotFinite: A pixel is NaN or infinite.
    """
    if edit.image_or_none is not None:
        check_pixels_finite(edit.image)
    return edit
