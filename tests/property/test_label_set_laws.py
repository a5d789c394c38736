"""Laws of label sets: a table and a painting agree, and a mirror undoes itself."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from zoogan.data.label_sets import LabelSet, load_label_set
from zoogan.data.sources.segmentation_files import make_part_table, map_parts, paint_parts
from zoogan.data.stream import mirror_sample
from zoogan.interfaces import Source

SIDE = 6


@st.composite
def label_sets(draw: st.DrawFn) -> LabelSet:
    """Any set: some classes merged, some ignored, an order of painting, transparent parts and pairs that swap."""
    classes = [f"c{k}" for k in range(draw(st.integers(1, 12)))]
    shuffled = draw(st.permutations(classes))
    parts = draw(st.integers(1, len(classes)))
    taken = draw(st.integers(parts, len(classes)))
    merges = {f"p{k}": [shuffled[k]] for k in range(parts)}
    for name in shuffled[parts:taken]:
        merges[f"p{draw(st.integers(0, parts - 1))}"].append(name)
    names = ["rest", *merges]
    order = draw(st.one_of(st.just([]), st.permutations(shuffled[:taken])))
    swapping = draw(st.permutations(names))[: 2 * draw(st.integers(0, len(names) // 2))]
    return LabelSet(
        names=names, classes=classes, merges=merges, order=order, mirrored=list(zip(swapping[::2], swapping[1::2])),
        transparent=draw(st.lists(st.sampled_from(names), unique=True)),
    )  # fmt: skip


def maps_over(kinds: LabelSet, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(len(kinds.classes), (2, SIDE, SIDE), generator=generator, dtype=torch.uint8)


def mirrored_parts(kinds: LabelSet) -> tuple[int, ...]:
    class Told(Source):
        parts, mirrored = kinds.names, kinds.mirrored
        count_faces = read_labels = read = None  # type: ignore[assignment]

    return Told().mirrored_parts


any_set = st.one_of(label_sets(), st.sampled_from([load_label_set("celebamask-13"), load_label_set("celebamask-19")]))
seeds = st.integers(0, 2**32)


@given(any_set, seeds)
def test_label_table_equals_painting_disjoint_masks(kinds: LabelSet, seed: int) -> None:
    labels = maps_over(kinds, seed)[0]
    masks = [
        (part, ((labels == kinds.classes.index(name)) * 255).to(torch.uint8)) for name, part in kinds.list_layers()
    ]
    assert torch.equal(paint_parts(masks, SIDE), map_parts(labels, make_part_table(kinds)))


@given(any_set, seeds)
def test_label_table_covers_all_classes_and_parts(kinds: LabelSet, seed: int) -> None:
    parts = map_parts(maps_over(kinds, seed), make_part_table(kinds))
    assert parts.dtype == torch.uint8 and int(parts.max()) < len(kinds.names)
    assert set(kinds.list_parts()) | {0} == set(range(len(kinds.names)))
    assert all(kinds.names[part] in kinds.names for _, part in kinds.list_layers())


@given(any_set, seeds)
def test_mirroring_twice_is_identity(kinds: LabelSet, seed: int) -> None:
    sample = {"segmentation": map_parts(maps_over(kinds, seed), make_part_table(kinds))}
    everyone, swap = torch.ones(2, dtype=torch.bool), mirrored_parts(kinds)
    once = mirror_sample(sample, everyone, swap)
    assert torch.equal(mirror_sample(once, everyone, swap)["segmentation"], sample["segmentation"])
    assert sorted(swap) == list(range(len(kinds.names)))


@given(seeds)
def test_mirroring_commutes_with_merging(seed: int) -> None:
    whole, merged = load_label_set("celebamask-19"), load_label_set("celebamask-13")
    classes, everyone = maps_over(whole, seed), torch.tensor([True, False])
    first = mirror_sample({"segmentation": classes}, everyone, mirrored_parts(whole))["segmentation"]
    last = {"segmentation": map_parts(classes, make_part_table(merged))}
    assert torch.equal(
        map_parts(first, make_part_table(merged)), mirror_sample(last, everyone, mirrored_parts(merged))["segmentation"]
    )


@given(any_set)
def test_label_set_round_trip(kinds: LabelSet) -> None:
    stored = kinds.model_dump(mode="json")
    assert (load_label_set(stored) if isinstance(stored, str) else LabelSet.model_validate(stored)) == kinds
