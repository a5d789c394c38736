"""Laws of the editor of layouts, on networks with random weights."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from support.runs import NARROW, REGISTRY
from zoogan.composition.build import compose
from zoogan.conditions.pairs import make_pairs
from zoogan.config import compose_config, merge
from zoogan.data.drawn import CLASSES
from zoogan.editors import LayoutAttributeEditor
from zoogan.facts import Facts
from zoogan.interfaces import Edit, Request
from zoogan.layers.layout import make_layout

SIZE, FACES = 32, 3
NAMES = ("Male", "Eyeglasses", "Wearing_Hat", "Bangs", "Bald")
FACTS = Facts(image_size=SIZE, attributes=NAMES, exclusive=(("Bangs", "Bald"),), parts=CLASSES)
IMAGE = torch.zeros(FACES, 3, SIZE, SIZE)
OWN = torch.tensor([[0.0, 1, 0, 0, 0], [1, 0, 1, 0, 0], [0, 0, 0, 1, 0]])


@pytest.fixture(scope="module")
def editor() -> LayoutAttributeEditor:
    data = {"data": {"image_size": SIZE, "attributes": list(NAMES)}}
    config = compose_config(REGISTRY.methods["smile-layout"], REGISTRY, sets=merge(NARROW["smile-layout"], data))
    torch.manual_seed(3)
    composition = compose(config, FACTS, REGISTRY)
    for network in composition.networks.values():
        for weight in network.parameters():
            torch.nn.init.normal_(weight, std=0.3)
    networks = composition.networks.eval().requires_grad_(False)
    made = composition.game.make_editor(networks, attributes=NAMES)
    assert isinstance(made, LayoutAttributeEditor)
    return made


def draw_layout(seed: int, faces: int = FACES) -> Tensor:
    blocks = torch.randint(0, len(CLASSES), (faces, 4, 4), generator=torch.Generator().manual_seed(seed))
    return make_layout(blocks.repeat_interleave(SIZE // 4, 1).repeat_interleave(SIZE // 4, 2), len(CLASSES))


LAYOUT = draw_layout(0)


def edit(
    editor: LayoutAttributeEditor,
    request: Request,
    rows: slice = slice(None),
    own: Tensor | None = OWN,
    **options: object,
) -> Edit:
    targets = editor.resolve(request, IMAGE[rows], None if own is None else own[rows]) | {"layout": LAYOUT[rows]}
    return editor.apply(IMAGE[rows], targets, **options)  # type: ignore[arg-type]


def get_map(result: Edit) -> Tensor:
    assert result.segmentation is not None
    return result.segmentation


HAT = Request({"Wearing_Hat": 1.0})


@given(seed=st.integers(0, 999))
def test_strength_zero_is_the_input_and_one_is_not(editor: LayoutAttributeEditor, seed: int) -> None:
    assert torch.equal(get_map(edit(editor, HAT, seed=seed, strength=0.0)), LAYOUT.argmax(1))
    assert not torch.equal(get_map(edit(editor, HAT, seed=seed)), LAYOUT.argmax(1))


@given(seed=st.integers(0, 999), row=st.integers(0, FACES - 1))
def test_edit_depends_on_nothing_else_in_its_batch(editor: LayoutAttributeEditor, seed: int, row: int) -> None:
    seeds = [seed, seed + 1, seed + 2]
    together = edit(editor, HAT, seed=seeds)
    alone = edit(editor, HAT, slice(row, row + 1), seed=seeds[row])
    assert (get_map(alone) == get_map(together)[row : row + 1]).float().mean() > 0.999
    assert torch.allclose(alone.extras["style"], together.extras["style"][row : row + 1], atol=1e-5)


@given(seed=st.integers(0, 999), name=st.sampled_from(NAMES), value=st.sampled_from([0.0, 1.0]))
def test_attributes_that_stay_keep_their_style(
    editor: LayoutAttributeEditor, seed: int, name: str, value: float
) -> None:
    result = edit(editor, Request({name: value}), seed=seed)
    own_style = editor.networks["style_encoder"](LAYOUT, make_pairs(OWN))
    drawn = editor.draw_style(make_pairs(result.extras["target"]), seed)
    changed = result.extras["target"] != OWN
    expected = torch.where(changed[..., None], drawn, own_style)
    assert torch.equal(result.extras["style"], expected)
    assert torch.equal(changed[:, NAMES.index(name)], OWN[:, NAMES.index(name)] != value)


def test_seed_alone_decides_the_style(editor: LayoutAttributeEditor) -> None:
    one, same, other = (edit(editor, HAT, seed=seed).extras["style"] for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.allclose(one[0, 2], other[0, 2]) and torch.equal(one[0, 0], other[0, 0])


def test_truncation_zero_is_the_mean_style_and_one_the_drawn(editor: LayoutAttributeEditor) -> None:
    mean = edit(editor, HAT, seed=5, truncation=0.0).extras["style"]
    assert torch.allclose(mean[0, 2], editor.compute_mean_styles()[1, 2])
    assert torch.equal(mean, edit(editor, HAT, seed=9, truncation=0.0).extras["style"])
    full = edit(editor, HAT, seed=5, truncation=1.0).extras["style"]
    assert torch.equal(full, edit(editor, HAT, seed=5).extras["style"]) and not torch.equal(full, mean)


def test_labels_that_are_read_equal_labels_that_are_given(editor: LayoutAttributeEditor) -> None:
    read = editor.predict_labels(LAYOUT)
    unknown = edit(editor, HAT, own=None)
    assert torch.equal(unknown.extras["own"], read)
    assert torch.equal(get_map(unknown), get_map(edit(editor, HAT, own=read)))
    some = OWN.clone()
    some[:, 0] = torch.nan
    mixed = edit(editor, HAT, own=some).extras["own"]
    assert torch.equal(mixed[:, 0], read[:, 0]) and torch.equal(mixed[:, 1:], OWN[:, 1:])


def test_hat_clears_what_it_hides_but_bangs_leave_the_hat(editor: LayoutAttributeEditor) -> None:
    assert editor.clears == {"Wearing_Hat": ("Bangs", "Bald")}
    assert edit(editor, HAT).extras["target"][2].tolist() == [0, 0, 1, 0, 0]
    assert edit(editor, Request({"Bangs": 1.0})).extras["target"][1].tolist() == [1, 0, 1, 1, 0]


def test_untrained_discriminator_reads_no_labels(
    editor: LayoutAttributeEditor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(editor, "untrained", ("discriminator",))
    with pytest.raises(ValueError, match="give all of them with --own, such as --own Male=0,Eyeglasses=0"):
        edit(editor, HAT, own=None)
    assert torch.equal(edit(editor, HAT).extras["own"], OWN)  # nothing is to be read


# ---- references ----


def test_reference_gives_named_attributes_and_a_bare_one_all(editor: LayoutAttributeEditor) -> None:
    reference = draw_layout(7)
    own_style = editor.networks["style_encoder"](LAYOUT, make_pairs(OWN))
    named = edit(editor, Request({"Wearing_Hat": 1.0}, reference=reference)).extras
    theirs = editor.networks["style_encoder"](reference, make_pairs(named["target"]))
    assert torch.equal(named["style"][:, 2], theirs[:, 2]), "the second face has a hat and should get that one"
    assert torch.equal(named["style"][:, :2], own_style[:, :2])
    measured = edit(editor, Request({"Wearing_Hat": 1.0}, reference=reference, restyles=False)).extras["style"]
    assert torch.equal(measured[0, 2], theirs[0, 2]) and torch.equal(measured[1, 2], own_style[1, 2])
    bare = edit(editor, Request({}, reference=reference)).extras
    read = editor.predict_labels(reference)
    assert torch.equal(bare["target"], editor.condition.apply_request(OWN, read)) and not torch.equal(
        bare["target"], OWN
    )
    assert torch.equal(bare["style"], editor.networks["style_encoder"](reference, make_pairs(bare["target"])))


@given(seed=st.integers(0, 99))
def test_guided_editor_takes_each_style_from_a_face_that_shows_it(editor: LayoutAttributeEditor, seed: int) -> None:
    layout = draw_layout(11, 6)
    own = torch.tensor([[0.0, 0, 0, 0, 0], [1, 1, 1, 1, 1]]).repeat(3, 1)
    own[1, 2] = torch.nan  # hidden
    image = torch.zeros(6, 3, SIZE, SIZE)
    guided = editor.make_guided_editor(image, own, {"layout": layout})
    assert isinstance(guided, LayoutAttributeEditor)
    style = edit(guided, HAT, seed=seed).extras["style"]
    pool = editor.networks["style_encoder"](layout, make_pairs(own.nan_to_num(0)))[[3, 5], 2]
    assert any(torch.equal(style[0, 2], one) for one in pool)
    assert torch.equal(style[0, 0], edit(editor, HAT, seed=seed).extras["style"][0, 0])
    with pytest.raises(ValueError, match=r"no reference that .*or that shows Wearing_Hat"):
        editor.make_guided_editor(image, own.masked_fill(own == 1, 0), {"layout": layout})
