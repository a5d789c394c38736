"""Laws of label sets: a table and a painting agree, and a mirror undoes itself."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from zoogan.data.label_sets import LabelSet, built_in
from zoogan.data.sources.label_maps import painted, remapped, table_of
from zoogan.data.stream import mirror
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
        size = labels = read = None  # type: ignore[assignment]

    return Told().mirrored_parts


any_set = st.one_of(label_sets(), st.sampled_from([built_in("celebamask-13"), built_in("celebamask-19")]))
seeds = st.integers(0, 2**32)


@given(any_set, seeds)
def test_the_table_is_the_painting_of_masks_that_do_not_overlap(kinds: LabelSet, seed: int) -> None:
    labels = maps_over(kinds, seed)[0]
    masks = [(part, ((labels == kinds.classes.index(name)) * 255).to(torch.uint8)) for name, part in kinds.painting()]
    assert torch.equal(painted(masks, SIDE), remapped(labels, table_of(kinds)))


@given(any_set, seeds)
def test_every_class_lands_in_range_and_every_part_is_reached(kinds: LabelSet, seed: int) -> None:
    parts = remapped(maps_over(kinds, seed), table_of(kinds))
    assert parts.dtype == torch.uint8 and int(parts.max()) < len(kinds.names)
    assert set(kinds.table()) | {0} == set(range(len(kinds.names)))
    assert all(kinds.names[part] in kinds.names for _, part in kinds.painting())


@given(any_set, seeds)
def test_mirroring_twice_changes_nothing(kinds: LabelSet, seed: int) -> None:
    sample = {"segmentation": remapped(maps_over(kinds, seed), table_of(kinds))}
    everyone, swap = torch.ones(2, dtype=torch.bool), mirrored_parts(kinds)
    once = mirror(sample, everyone, swap)
    assert torch.equal(mirror(once, everyone, swap)["segmentation"], sample["segmentation"])
    assert sorted(swap) == list(range(len(kinds.names)))


@given(seeds)
def test_flipping_commutes_with_merging(seed: int) -> None:
    whole, merged = built_in("celebamask-19"), built_in("celebamask-13")
    classes, everyone = maps_over(whole, seed), torch.tensor([True, False])
    first = mirror({"segmentation": classes}, everyone, mirrored_parts(whole))["segmentation"]
    last = {"segmentation": remapped(classes, table_of(merged))}
    assert torch.equal(
        remapped(first, table_of(merged)), mirror(last, everyone, mirrored_parts(merged))["segmentation"]
    )


@given(any_set)
def test_a_set_survives_being_stored(kinds: LabelSet) -> None:
    stored = kinds.model_dump(mode="json")
    assert (built_in(stored) if isinstance(stored, str) else LabelSet.model_validate(stored)) == kinds
