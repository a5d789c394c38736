"""The study: the held-out faces that a run edits, or the number of samples that it makes, and the batches for metrics.

All methods are measured on the same faces, with the same crop, in the same order.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from zoogan.errors import ConfigError
from zoogan.evaluation.inputs import FACES
from zoogan.files import get_cache_folder
from zoogan.interfaces import AttributeJudge, Editor, Edits, GeneratedEdits, Samples, Source, Study, World
from zoogan.interfaces.edits import edit_to_labels, make_face_seeds, round_as_saved
from zoogan.interfaces.generated_edits import add_attribute, sample_faces, select_faces
from zoogan.interfaces.source import Split
from zoogan.interfaces.study import Kind
from zoogan.layers.layout import make_layout
from zoogan.names import suggest_name
from zoogan.pictures.photo import normalize_image
from zoogan.resources import run_in_batches

BATCH = 50
LAYOUTS = 200  # of held-out faces, from which painted samples choose


def choose_held_out_split(source: Source) -> Split:
    """Choose the split to measure on: test, or valid where there is no test split.

    Raises:
        ConfigError: The source has no held-out faces.
    """
    splits: tuple[Split, ...] = ("test", "valid")
    for split in splits:
        if source.count_faces(split):
            return split
    raise ConfigError("this source has no held-out faces (no test and no valid split); use one that has")


def open_study(
    source: Source,
    source_name: str,
    *,
    faces: int = FACES,
    seed: int = 0,
    device: torch.device | str = "cpu",
    judge: AttributeJudge | None = None,
    split: Split | None = None,
    world: World | None = None,
    editor: Editor | None = None,
    truncation: float = 1.0,
    only: frozenset[int] | None = None,
    kind: Kind | None = None,
) -> Study:
    """Open a study of the first faces of a split, or of a number of samples or edits of samples.

    Args:
        source: The faces.
        source_name: Its name, as in `--data`.
        faces: How many faces at most, or how many samples.
        seed: Seed of everything that is drawn.
        device: Where the editor runs.
        judge: Reads attributes and parts; None without a judge.
        split: By default the test split, or valid where there is no test split.
        world: The processes that share the work (default: all); `World.make_single()` = this one alone.
        editor: The editor to measure; by default one that edits faces and has no exclusive groups of its own.
        truncation: How far from the mean face samples may be, 0 to 1.
        only: Numbers of the faces to edit; None = all that the editor can edit.
        kind: What is measured; None = the editor's default.

    Raises:
        ConfigError: The source has no held-out faces, or the editor has no such kind.
    """
    split = split or choose_held_out_split(source)
    kind = "edits" if editor is None else get_kind(editor, kind)
    return Study(
        source=source, source_name=source_name, split=split, seed=seed, device=torch.device(device),
        faces=faces if kind != "edits" else min(faces, source.count_faces(split)), cache=get_cache_folder(),
        world=world or World(), judge=judge, kind=kind, truncation=truncation,
        exclusive=() if editor is None else editor.exclusive, clears={} if editor is None else editor.clears,
        face_numbers=only, generated_attributes=editor.attributes if editor and kind == "generated" else (),
    )  # fmt: skip


def list_kinds(editor: Editor) -> tuple[Kind, ...]:
    """List what can be measured of an editor, the default first.

    Edits of given faces, or samples, also those that are painted from given layouts. Of an editor that edits the faces
    that it generates, these edits and the samples.
    """
    if editor.can_sample and editor.edits_generated and editor.attributes:
        return ("generated", "samples")
    if editor.can_sample or (editor.paints_layouts and not editor.attributes):
        return ("samples",)
    return ("edits", "samples") if editor.also_samples else ("edits",)


def get_kind(editor: Editor, kind: str | None = None) -> Kind:
    """Get what is measured of an editor.

    Args:
        editor: The editor.
        kind: A kind; None = the editor's default.

    Raises:
        ConfigError: The editor has no such kind.
    """
    kinds = list_kinds(editor)
    if kind is None:
        return kinds[0]
    for name in kinds:
        if name == kind:
            return name
    raise ConfigError(f"--kind {kind}: of this run can be measured: {', '.join(kinds)}{suggest_name(kind, kinds)}")


def give_layouts(editor: Editor, study: Study) -> None:
    """Give an editor that paints layouts those of the held-out faces.

    Raises:
        ConfigError: The faces have no segmentation.
    """
    count = min(study.source.count_faces(study.split), LAYOUTS)
    sample = study.source.read(study.split, list(range(count)))
    if "segmentation" not in sample:
        raise ConfigError("this run paints maps of parts, and these faces have none: take a source that has them")
    parts = len(study.source.parts)
    editor.set_layouts(make_layout(sample["segmentation"].to(study.device), parts))


def find_shared_faces(editors: Sequence[Editor], sources: Sequence[Source], faces: int) -> frozenset[int] | None:
    """Find the held-out faces that every editor can edit.

    Args:
        editors: The editors to compare.
        sources: The source of each editor; its labels decide which faces the editor can edit.
        faces: How many held-out faces to look at, from the first.

    Returns:
        The numbers of the shared faces; None where all faces are shared.

    Raises:
        ConfigError: The editors share no face.
    """
    labels = [source.read_labels(choose_held_out_split(source))[:faces] for source in sources]
    served = [editor.find_supported(own).nonzero().flatten().tolist() for editor, own in zip(editors, labels)]
    shared = frozenset.intersection(*map(frozenset, served))
    if not shared:
        raise ConfigError(f"these runs share none of the first {faces} held-out faces; look at more with --faces N")
    return None if len(shared) == len(labels[0]) else shared


def make_edit_targets(
    study: Study, own: Float[Tensor, "n a"], attribute: str
) -> tuple[Float[Tensor, "n a"], Bool[Tensor, " n"]]:
    """Make the labels that edits of one attribute ask for.

    The attribute is flipped and the attributes that it excludes are cleared. A member of an exclusive group is set and
    never cleared, since every face has a hair colour. Where it is set, the attributes that it hides in the run are
    cleared too.

    Args:
        study: Knows the exclusive groups, and what the run clears.
        own: Labels of the faces.
        attribute: The attribute to edit.

    Returns:
        (the target labels, the rows where there is something to edit).
    """
    names = study.source.attributes
    column, groups = names.index(attribute), study.list_exclusive_groups(attribute)
    target = own.clone()
    if groups:
        for name in {name for group in groups for name in group} & set(names):
            target[:, names.index(name)] = 0
        target[:, column], rows = 1, own[:, column] < 0.5
    else:
        target[:, column], rows = 1 - own[:, column], torch.ones(len(own), dtype=torch.bool)
    for name in set(study.clears.get(attribute, ())) & set(names):
        target[:, names.index(name)] *= target[:, column] < 0.5
    return target, rows


def get_visible_rows(source: Source, sample: Mapping[str, Tensor], attribute: str) -> Bool[Tensor, " n"]:
    """Get the rows whose faces can show an attribute; a hat, for example, hides the hair colour."""
    if "visible" not in sample:
        return torch.ones(len(sample["attributes"]), dtype=torch.bool)
    return sample["visible"][:, source.attributes.index(attribute)] > 0.5


@torch.no_grad()
def iterate_edits(editor: Editor, study: Study, attribute: str, batch: int = BATCH) -> Iterator[Edits]:
    """Iterate over this process's share of the edits of one attribute.

    Args:
        editor: Edits the faces.
        study: Which faces.
        attribute: The attribute to edit.
        batch: How many faces are read at once; faces that cannot be edited are left out of the batch.
    """
    source = study.source
    mine = list(range(study.faces))[study.world.rank :: study.world.size]

    def edit_faces(numbers: Sequence[int]) -> Edits | None:
        numbers = list(numbers)
        sample = source.read(study.split, numbers)
        target, rows = make_edit_targets(study, sample["attributes"], attribute)
        rows &= get_visible_rows(source, sample, attribute) & editor.find_supported(sample["attributes"])
        if study.face_numbers is not None:
            rows &= torch.tensor([number in study.face_numbers for number in numbers])
        if not bool(rows.any()):
            return None
        sample = {name: part[rows] for name, part in sample.items()}
        faces = [number for number, is_edited in zip(numbers, rows.tolist()) if is_edited]
        return _edit_batch(editor, study, attribute, faces, sample, target[rows])

    for edits in run_in_batches(mine, batch, edit_faces):
        if edits is not None:
            yield edits


def _edit_batch(
    editor: Editor, study: Study, attribute: str, faces: list[int], sample: dict[str, Tensor], target: Tensor
) -> Edits:
    """Edit the faces of a batch and draw the correct results where the source can."""
    source, device = study.source, study.device
    own, target = sample["attributes"].to(device), target.to(device)
    image = normalize_image(sample["image"]).to(device)
    # The source clears the attributes that exclude each other in the source. What a hat hid is redrawn by the target.
    changed = [attribute, *(name for name in study.list_added_rivals(attribute) if name in source.attributes)]
    labels = {name: target[:, source.attributes.index(name)].cpu() for name in changed}
    redrawn = source.redraw(study.split, faces, **labels)
    return Edits(
        editor, attribute, faces=torch.tensor(faces), image=image, own=own, target=target,
        edit=edit_to_labels(
            editor, image, own, target,
            seed=make_face_seeds(study.seed, torch.tensor(faces)), masks=editor.read_masks(sample, image),
        ),
        true_redraw=None if redrawn is None else normalize_image(redrawn["image"]).to(device),
        sample=sample, redraw_sample=redrawn, seed=study.seed,
    )  # fmt: skip


def iterate_samples(editor: Editor, study: Study, batch: int = BATCH) -> Iterator[Samples]:
    """Iterate over this process's share of the samples.

    Args:
        editor: Makes the faces.
        study: How many, their seed and their truncation.
        batch: How many are made at once.
    """
    mine = range(study.faces)[study.world.rank :: study.world.size]

    def sample(numbers: Sequence[int]) -> Samples:
        return Samples(editor, torch.tensor(list(numbers)), seed=study.seed, truncation=study.truncation)

    yield from run_in_batches(mine, batch, sample)


@torch.no_grad()
def iterate_generated(editor: Editor, study: Study, attribute: str, batch: int = BATCH) -> Iterator[GeneratedEdits]:
    """Iterate over this process's share of the edits of generated faces; one attribute is added.

    Faces on which the judge reads the attribute already are left out.

    Args:
        editor: Generates and edits the faces.
        study: How many faces, their seed and truncation, and the judge.
        attribute: The attribute to add.
        batch: How many faces are generated at once.
    """
    judge = study.judge
    assert judge is not None and attribute in judge.attributes
    columns = {k: judge.attributes.index(name) for k, name in enumerate(editor.attributes) if name in judge.attributes}
    mine = range(study.faces)[study.world.rank :: study.world.size]

    def edit_faces(numbers: Sequence[int]) -> GeneratedEdits | None:
        faces = torch.tensor(list(numbers))
        sample = sample_faces(editor, study.seed, faces, study.truncation)
        read = judge.read_attributes(round_as_saved(sample.image)) > judge.thresholds.to(sample.image.device)
        own = torch.zeros(len(faces), len(editor.attributes), device=sample.image.device)
        for column, place in columns.items():
            own[:, column] = read[:, place].float()
        rows = own[:, editor.attributes.index(attribute)] < 0.5
        if not bool(rows.any()):
            return None
        chosen, edited = select_faces(sample, rows), faces[rows.cpu()]
        edit = add_attribute(editor, chosen, attribute, make_face_seeds(study.seed, edited))
        return GeneratedEdits(editor, attribute, faces=edited, sample=chosen, own=own[rows], edit=edit, seed=study.seed)

    for edits in run_in_batches(mine, batch, edit_faces):
        if edits is not None:
            yield edits
