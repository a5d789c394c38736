"""What every drawn face promises, whatever its index, seed and size."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from zoogan.data.drawn import ATTRIBUTES, CLASSES, EXCLUSIVE, DrawnFaces
from zoogan.data.drawn.attributes import HIDDEN_BY, find_column
from zoogan.data.drawn.canvas import Canvas, Window

pytestmark = pytest.mark.without_onednn

brief = settings(max_examples=15, deadline=None)
briefer = settings(max_examples=5, deadline=None)  # of three faces
indices = st.lists(st.integers(0, 2**40), min_size=1, max_size=5)
numbers = st.integers(0, 2**40)
threes = st.lists(numbers, min_size=3, max_size=3, unique=True)  # little slower to draw than one
seeds = st.integers(0, 2**31)
sizes = st.sampled_from([16, 21, 24, 32])
names = st.sampled_from(ATTRIBUTES)
MANY = range(3000)


def same(a, b) -> bool:
    """Whether two batches of faces agree bit for bit."""
    return all(torch.equal(getattr(a, field), getattr(b, field)) for field in type(a).__dataclass_fields__)


def touched(a, b) -> torch.Tensor:
    """(n, h, w): where the picture or the segmentation differs."""
    return (a.image != b.image).any(1) | (a.segmentation != b.segmentation)


@pytest.mark.slow
@brief
@given(indices, seeds, sizes)
def test_drawn_face_is_deterministic(who, seed, size):
    faces = DrawnFaces(size, seed=seed).draw(who)
    assert same(faces, DrawnFaces(size, seed=seed).draw(torch.tensor(who)))
    assert faces.image.shape == (len(who), 3, size, size) and faces.image.dtype == torch.uint8
    assert faces.identity.tolist() == who
    assert not torch.equal(faces.image, DrawnFaces(size, seed=seed + 1).draw(who).image)


@pytest.mark.slow
@brief
@given(indices, seeds, sizes)
def test_drawn_face_does_not_depend_on_batch(who, seed, size):
    source = DrawnFaces(size, seed=seed)
    together = source.draw([*who, 7, 8, 9])
    for k, one in enumerate(who):
        alone = source.draw([one])
        assert torch.equal(alone.image[0], together.image[k])
        assert torch.equal(alone.segmentation[0], together.segmentation[k])
        assert torch.equal(alone.pose[0], together.pose[k])


@pytest.mark.slow
@pytest.mark.parametrize("name", ATTRIBUTES)
def test_drawn_accessories_do_not_depend_on_batch(name):
    source = DrawnFaces(33, seed=3)
    for value in (0, 1):
        together = source.redraw(range(12), **{name: value})
        for k in range(0, 12, 3):
            assert torch.equal(source.redraw([k], **{name: value}).image[0], together.image[k])


@pytest.mark.slow
def test_drawing_windows_contain_their_parts(monkeypatch):
    source = DrawnFaces(32, seed=11)
    everything = {
        "Wearing_Hat": 0,
        "Face_Mask": 0,
        "Smiling": 1,
        "Mouth_Slightly_Open": 1,
        "Bangs": 1,
        "No_Beard": 0,
    }
    everything |= {"Eyeglasses": 1, "Wearing_Earrings": 1}
    changes = (everything, everything | {"Wearing_Hat": 1}, everything | {"Face_Mask": 1})
    # alone, since the windows of a batch are as wide as its widest face needs
    small = [[source.redraw([k], **change) for k in range(24)] for change in changes]
    large = lambda self, *box: Window(self, box[4] if len(box) > 4 else None, 0, 32, 0, 32)  # noqa: E731
    monkeypatch.setattr(Canvas, "window_around", large)
    monkeypatch.setattr(Canvas, "window_below", large)
    for alone, change in zip(small, changes):
        together = source.redraw(range(24), **change)
        for field in type(together).__dataclass_fields__:
            assert torch.equal(torch.cat([getattr(face, field) for face in alone]), getattr(together, field)), field


def test_drawing_does_not_depend_on_threads():
    before = torch.get_num_threads()
    pictures = []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            pictures.append(DrawnFaces(32).draw(range(40)))
    finally:
        torch.set_num_threads(before)
    assert same(*pictures)


@pytest.mark.slow
@brief
@given(st.lists(numbers, min_size=4, max_size=4, unique=True), seeds)
def test_drawing_is_consistent_across_sizes(who, seed):
    large, small = (DrawnFaces(size, seed=seed).draw(who) for size in (64, 32))
    assert torch.equal(large.attributes, small.attributes) and torch.equal(large.pose, small.pose)
    shrunk = torch.nn.functional.avg_pool2d(large.image.float(), 2)
    error = (shrunk - small.image.float()).abs().mean((1, 2, 3))
    assert (error < 5.0).all()
    others = (shrunk - small.image.float().roll(1, 0)).abs().mean((1, 2, 3))
    assert (error < 0.5 * others).all()


@pytest.mark.slow
@brief
@given(numbers, seeds, names)
def test_redraw_with_current_value_changes_nothing(who, seed, name):
    source = DrawnFaces(24, seed=seed)
    face = source.draw([who])
    assert same(face, source.redraw([who]))
    assert same(face, source.redraw([who], **{name: face.attributes[0, find_column(name)]}))


@pytest.mark.slow
@briefer
@given(threes, seeds, st.lists(st.booleans(), min_size=3, max_size=3).map(torch.tensor))
def test_redraw_of_hidden_attribute_changes_nothing(who, seed, values):
    for cover, hidden in HIDDEN_BY.items():
        source = DrawnFaces(24, seed=seed, probabilities={cover: 1.0})
        faces = source.draw(who)
        for name in hidden:
            assert not faces.visible[:, find_column(name)].any() and not faces.attributes[:, find_column(name)].any()
            assert same(faces, source.redraw(who, **{name: values}))


@pytest.mark.slow
@brief
@given(numbers, seeds, names, sizes)
def test_redraw_shows_attribute_and_is_reversible(who, seed, name, size):
    source = DrawnFaces(size, seed=seed, probabilities={"Wearing_Hat": 0.0, "Face_Mask": 0.0})
    face = source.draw([who])
    value = not face.attributes[0, find_column(name)]
    other = source.redraw([who], **{name: value})
    assert other.attributes[0, find_column(name)] == value
    assert not torch.equal(face.image, other.image)
    rivals = {name} | ({n for group in EXCLUSIVE if name in group for n in group} if value else set())
    hides = HIDDEN_BY.get(name, ()) if value else ()
    for k, label in enumerate(ATTRIBUTES):
        if label not in rivals and label not in hides:
            assert other.attributes[0, k] == face.attributes[0, k], label
    back = {n: bool(face.attributes[0, find_column(n)]) for n in ATTRIBUTES}
    assert same(face, source.redraw([who], **back))


@pytest.mark.slow
@briefer
@given(threes, seeds)
def test_drawn_faces_respect_exclusive_groups(who, seed):
    source = DrawnFaces(16, seed=seed, probabilities={"Wearing_Hat": 0.0})
    for group in EXCLUSIVE:
        for name in group:
            for shown in source.redraw(who, **{name: 1}).attributes:
                assert [n for n in group if shown[find_column(n)]] == [name]
    labels, _ = DrawnFaces(16, seed=seed).draw_attributes(range(600))
    for group in EXCLUSIVE:
        assert (labels[:, [find_column(n) for n in group]].sum(1) <= 1).all()


@pytest.mark.slow
@brief
@given(numbers, seeds)
def test_glasses_change_only_the_eye_region(who, seed):
    source = DrawnFaces(64, seed=seed)
    bare, worn = source.redraw([who], Eyeglasses=0), source.redraw([who], Eyeglasses=1)
    where = touched(bare, worn)[0]
    glasses = worn.segmentation[0] == CLASSES.index("eye_g")
    assert not (bare.segmentation == CLASSES.index("eye_g")).any()
    assert 60 <= glasses.sum() <= 900
    eyes = (bare.segmentation[0] == 4) | (bare.segmentation[0] == 5)
    assert eyes.any() and (glasses & eyes).sum() >= 0.85 * eyes.sum()
    # every changed pixel lies on the glasses or on their soft edge
    reach = torch.nn.functional.max_pool2d(glasses[None].float(), 3, 1, 1)[0] > 0
    assert (where & ~reach).sum() <= 12
    rows, _columns = where.nonzero().T
    assert rows.min() >= 10 and rows.max() <= 48
    contrast = (bare.image[0].int() - worn.image[0].int()).abs().amax(0)
    assert (contrast > 40).sum() >= 30  # seen, and not only in the labels


REGIONS = {  # rows and columns of the picture, in parts of its size, that an attribute may touch
    "Smiling": (0.45, 1.0),
    "Mouth_Slightly_Open": (0.45, 1.0),
    "No_Beard": (0.33, 1.0),
    "Face_Mask": (0.30, 1.0),
    "Wearing_Earrings": (0.30, 1.0),
    "Bangs": (0.0, 0.62),
}


@pytest.mark.slow
@brief
@given(numbers, seeds, st.sampled_from(sorted(REGIONS)))
def test_attribute_changes_only_its_true_region(who, seed, name):
    source = DrawnFaces(32, seed=seed, probabilities={"Wearing_Hat": 0.0, "Face_Mask": 0.0, "Bald": 0.0})
    where = touched(source.redraw([who], **{name: 0}), source.redraw([who], **{name: 1}))[0]
    low, high = REGIONS[name]
    rows, _ = where.nonzero().T
    assert len(rows) > 0
    assert rows.min() >= low * 32 - 1 and rows.max() <= high * 32
    assert where.float().mean() < 0.40


@pytest.mark.slow
@brief
@given(indices, seeds)
def test_hair_colour_changes_only_hair(who, seed):
    source = DrawnFaces(32, seed=seed, probabilities={"Wearing_Hat": 0.0, "Bald": 0.0})
    black, blond = source.redraw(who, Black_Hair=1), source.redraw(who, Blond_Hair=1)
    assert torch.equal(black.segmentation, blond.segmentation)
    hair = (black.segmentation == CLASSES.index("hair")).float()
    reach = torch.nn.functional.max_pool2d(hair, 5, 1, 2) > 0
    where = touched(black, blond)
    assert where.any() and (where & ~reach).float().mean() < 0.02
    assert torch.equal(black.image[:, :, -1, 0][hair[:, -1, 0] == 0], blond.image[:, :, -1, 0][hair[:, -1, 0] == 0])


def test_segmentation_agrees_with_labels():
    faces = DrawnFaces(64, seed=5).draw(range(96))
    assert faces.segmentation.max() < len(CLASSES)
    present = torch.stack([(faces.segmentation == k).flatten(1).any(1) for k in range(len(CLASSES))], 1)
    assert present.any(0).all(), [c for c, p in zip(CLASSES, present.any(0), strict=True) if not p]
    for part, name in (("hat", "Wearing_Hat"), ("eye_g", "Eyeglasses"), ("ear_r", "Wearing_Earrings")):
        assert torch.equal(present[:, CLASSES.index(part)], faces.attributes[:, find_column(name)]), part
    hairless = faces.attributes[:, find_column("Bald")] | faces.attributes[:, find_column("Wearing_Hat")]
    assert torch.equal(present[:, CLASSES.index("hair")], ~hairless)


def test_left_parts_are_on_the_image_right():
    source = DrawnFaces(64, seed=1, probabilities={"Eyeglasses": 0.0, "Wearing_Hat": 0.0, "Bald": 1.0})
    faces = source.draw(range(64))
    across = torch.arange(64.0)
    for left, right in (("l_eye", "r_eye"), ("l_brow", "r_brow"), ("l_ear", "r_ear")):
        middles = []
        for name in (left, right):
            mask = (faces.segmentation == CLASSES.index(name)).float()
            middles.append((mask * across).sum((1, 2)) / mask.sum((1, 2)))
        both = ~(middles[0].isnan() | middles[1].isnan())
        assert both.sum() > 20 and (middles[0] > middles[1])[both].all()


def test_nose_follows_yaw_and_eyes_stay_in_frame():
    faces = DrawnFaces(64, seed=2, probabilities={"Eyeglasses": 0.0, "Face_Mask": 0.0}).draw(range(200))
    grid = torch.arange(64.0)
    nose = (faces.segmentation == 2).float()
    eyes = ((faces.segmentation == 4) | (faces.segmentation == 5)).float()
    skin = (faces.segmentation == 1).float()
    aside = (nose * grid).sum((1, 2)) / nose.sum((1, 2)) - (skin * grid).sum((1, 2)) / skin.sum((1, 2))
    assert torch.corrcoef(torch.stack([aside, faces.pose[:, 0]]))[0, 1] > 0.8
    height = (eyes * grid[:, None]).sum((1, 2)) / eyes.sum((1, 2)) / 64
    assert 0.42 < height.mean() < 0.49 and height.std() < 0.05
    assert (faces.pose.abs() <= torch.tensor([35.0, 15.0, 12.0])).all() and faces.pose[:, 0].std() > 8


@pytest.mark.slow
@brief
@given(indices, seeds)
def test_drawn_labels_match_the_image(who, seed):
    source = DrawnFaces(16, seed=seed)
    labels, visible = source.draw_attributes(who)
    faces = source.draw(who)
    assert torch.equal(labels, faces.attributes) and torch.equal(visible, faces.visible)
    assert not (labels & ~visible).any()


@brief
@given(names, st.floats(0.0, 0.45), seeds)
def test_attribute_frequencies_follow_probabilities(name, probability, seed):
    if name == "No_Beard":
        probability = 1.0 - probability
    # nothing hidden, and no rivals in the way
    clear = {"Wearing_Hat": 0.0, "Face_Mask": 0.0, "Blond_Hair": 0.1, "Black_Hair": 0.1, "Brown_Hair": 0.1}
    labels, _ = DrawnFaces(16, seed=seed, probabilities={**clear, name: probability}).draw_attributes(MANY)
    assert abs(labels[:, find_column(name)].float().mean() - probability) < 0.04


def test_default_distribution_resembles_people():
    labels, _ = DrawnFaces(16).draw_attributes(MANY)
    of = {name: labels[:, k] for k, name in enumerate(ATTRIBUTES)}
    assert (of["Bald"] & ~of["Male"]).sum() < 0.2 * of["Bald"].sum()
    assert (of["Wearing_Earrings"] & of["Male"]).sum() < 0.2 * of["Wearing_Earrings"].sum()
    shaven, _ = DrawnFaces(16, probabilities={"Face_Mask": 0.0}).draw_attributes(MANY)
    assert not (~shaven[:, find_column("No_Beard")] & ~shaven[:, find_column("Male")]).any()


@brief
@given(st.sampled_from(["Eyeglasses", "Smiling", "Wearing_Earrings"]), st.floats(0.1, 0.9), seeds)
def test_cooccurrence_is_conditional_probability(name, given_male, seed):
    for table in ({name: {"Male": given_male}}, {(name, "Male"): given_male}):
        labels, _ = DrawnFaces(16, seed=seed, cooccurrence=table, probabilities={"Face_Mask": 0.0}).draw_attributes(
            MANY
        )
        male = labels[:, find_column("Male")]
        assert abs(labels[male][:, find_column(name)].float().mean() - given_male) < 0.06
    both = {"probabilities": {"Eyeglasses": 0.5}, "cooccurrence": {"Eyeglasses": {"Male": 0.9}}}
    labels, _ = DrawnFaces(16, seed=seed, **both).draw_attributes(MANY)
    assert abs(labels[:, find_column("Eyeglasses")].float().mean() - 0.5) < 0.04


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda: DrawnFaces(16).redraw([0], Eyeglases=1), "Did you mean Eyeglasses"),
        (lambda: DrawnFaces(16).redraw([0], Smiling=2), "between 0 and 1"),
        (lambda: DrawnFaces(16).redraw([0], Bald=1, Bangs=1), "exclude"),
        (lambda: DrawnFaces(16).draw([-1]), "negative"),
        (lambda: DrawnFaces(15), "16 pixels"),
        (lambda: DrawnFaces(16, probabilities={"Smilin": 0.5}), "Did you mean Smiling"),
        (lambda: DrawnFaces(16, probabilities={"Smiling": 1.5}), "between 0 and 1"),
        (lambda: DrawnFaces(16, cooccurrence={"Bald": {"Mal": 0.5}}), "Did you mean Male"),
        (lambda: DrawnFaces(16, cooccurrence={"Bald": {"Bangs": 0.5}}), "exclude"),
        (lambda: DrawnFaces(16, cooccurrence={"Bald": 0.5}), "write"),
        (lambda: DrawnFaces(16, cooccurrence={"Male": {"Smiling": 0.5}, "Smiling": {"Male": 0.5}}), "circle"),
        (
            lambda: DrawnFaces(16, probabilities={"Smiling": 0.1}, cooccurrence={"Smiling": {"Male": 0.9}}),
            "contradict",
        ),
        (lambda: DrawnFaces(16, probabilities={"Bald": 0.6, "Black_Hair": 0.6}), "excludes"),
    ],
)
def test_impossible_distributions_are_refused(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_drawing_supports_any_image_size():
    for size in (17, 50, 97):
        faces = DrawnFaces(size).draw([3])
        assert faces.image.shape[-2:] == (size, size) and faces.image.float().std() > 10


def test_empty_batch_is_drawn():
    assert DrawnFaces(16).draw([]).image.shape == (0, 3, 16, 16)
