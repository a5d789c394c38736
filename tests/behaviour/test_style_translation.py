"""The style-translation game: its terms by hand, who learns from what, and its choices."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn import functional as F

from support.style_games import REGISTRY, SIZE, compute_terms, make_batch, make_tiny_config, make_tiny_trainer
from zoogan.composition.build import compose
from zoogan.composition.rehearsal import rehearse
from zoogan.data.config import DrawnData
from zoogan.data.drawn.source import DrawnSource
from zoogan.errors import ConfigError
from zoogan.facts import Facts
from zoogan.interfaces import Clock, Request
from zoogan.interfaces.edits import make_face_seeds
from zoogan.testing.conformance import assert_equal_bits, collect_state_tensors


def test_style_terms_equal_hand_computation() -> None:
    """StarGAN v2, section 3: every term of the four passes, written out."""
    trainer = make_tiny_trainer(make_tiny_config())
    found = {step.name: compute_terms(trainer, step.name) for step in trainer.game.steps}
    networks, batch = trainer.networks, trainer.batch
    assert batch is not None
    g, f, e, d = (networks[name] for name in ("generator", "mapping", "style_encoder", "discriminator"))
    x, own, to = batch["source"]["image"], batch["source"]["domain"], batch["reference"]["domain"]
    styles = {
        "latent": [f(trainer.targets[name], to) for name in ("latent", "latent2")],
        "reference": [e(batch["reference"][name], to) for name in ("image", "image2")],
    }
    leaf = x.clone().requires_grad_()
    (slope,) = torch.autograd.grad(d(leaf, own).sum(), leaf)
    for way, (style, second) in styles.items():
        fake = g(x, style)
        wanted = {
            "real": F.softplus(-d(x, own)).mean(), "fake": F.softplus(d(fake, to)).mean(),
            "penalty": slope.square().flatten(1).sum(1).mean() / 2,
        }  # fmt: skip
        assert set(found[f"discriminator_{way}"]) == set(wanted)
        for name, value in wanted.items():
            torch.testing.assert_close(found[f"discriminator_{way}"][name], value, msg=f"{way} {name}")
        wanted = {
            "adversarial": F.softplus(-d(fake, to)).mean(), "style": (e(fake, to) - style).abs().mean(),
            "diversity": (fake - g(x, second)).abs().mean(), "cycle": (g(fake, e(x, own)) - x).abs().mean(),
        }  # fmt: skip
        assert set(found[f"generator_{way}"]) == set(wanted)
        for name, value in wanted.items():
            torch.testing.assert_close(found[f"generator_{way}"][name], value, msg=f"{way} {name}")


def test_style_steps_train_the_published_networks() -> None:
    steps = {step.name: step.trains for step in make_tiny_trainer(make_tiny_config()).game.steps}
    assert steps == {
        "discriminator_latent": ("discriminator",), "discriminator_reference": ("discriminator",),
        "generator_latent": ("generator", "mapping", "style_encoder"), "generator_reference": ("generator",),
    }  # fmt: skip
    both = make_tiny_trainer(make_tiny_config(passes=["latent"])).game.steps
    assert [step.name for step in both] == ["discriminator_latent", "generator_latent"]
    also = make_tiny_trainer(make_tiny_config(reference_trains=["generator", "style_encoder"])).game.steps[-1]
    assert also.trains == ("generator", "style_encoder")


def test_each_step_updates_only_its_networks() -> None:
    """The mapping learns in one pass out of four, the style encoder too."""
    trainer = make_tiny_trainer(make_tiny_config())
    moved: list[tuple[str, set[str]]] = []
    update = trainer.update

    def watched(step, *rest):  # type: ignore[no-untyped-def]
        before = {n: [p.clone() for p in network.parameters()] for n, network in trainer.networks.items()}
        update(step, *rest)
        changed = {
            n for n, network in trainer.networks.items()
            if any(not torch.equal(a, b) for a, b in zip(before[n], network.parameters()))
        }  # fmt: skip
        moved.append((step.name, changed))

    trainer.update = watched  # type: ignore[method-assign]
    trainer.iterate()
    assert moved == [(step.name, set(step.trains)) for step in trainer.game.steps]


def test_sharing_is_used_and_bit_equal() -> None:
    on, off = make_tiny_trainer(make_tiny_config()), make_tiny_trainer(make_tiny_config(), sharing=False)
    for trainer in (on, off):
        for _ in range(3):
            trainer.iterate()
    assert_equal_bits(collect_state_tensors(on), collect_state_tensors(off), "sharing")
    # An iteration reuses the encoding (in the discriminator's reference pass and for both second styles), the
    # generator's latent translation, and the masks, which are requested although there are none.
    assert on.shared.hits > off.shared.hits == 0


def test_generator_reuses_discriminator_inputs() -> None:
    """With sharing the generator runs seven times an iteration instead of eight, and encodes once for two passes."""
    counts = {}
    for sharing in (True, False):
        trainer = make_tiny_trainer(make_tiny_config(), sharing=sharing)
        calls = {"encode": 0, "decode": 0}
        generator = trainer.networks["generator"]
        for name in calls:
            method = getattr(generator, name)

            def counted(*args, name=name, method=method, calls=calls):  # type: ignore[no-untyped-def]
                calls[name] += 1
                return method(*args)

            setattr(generator, name, counted)
        trainer.iterate()
        counts[sharing] = dict(calls)
    assert counts[False]["decode"] == 8 and counts[True]["decode"] == 7
    assert counts[True]["encode"] == 4, "two for the source, two for the way back"


def test_diversity_weight_decays_by_iteration() -> None:
    game = make_tiny_trainer(make_tiny_config(weights={"diversity": 2.0, "diversity_decay": 4})).game
    latent = game.steps[2]
    weights = [latent.weights(Clock(k, 10)).get("diversity") for k in range(6)]
    assert weights == [-2.0, -1.5, -1.0, -0.5, None, None]
    whole = make_tiny_trainer(make_tiny_config(weights={"diversity": 1.0})).game.steps[2]
    assert whole.weights(Clock(5, 10))["diversity"] == -0.5


def test_resume_during_decay_is_bit_equal() -> None:
    config = make_tiny_config(weights={"diversity_decay": 4}, training={"average": 0.9, "iterations": 6})
    whole, half = make_tiny_trainer(config), make_tiny_trainer(config)
    for _ in range(6):
        whole.iterate()
    for _ in range(2):
        half.iterate()
    rest = make_tiny_trainer(config)
    for _ in range(2):
        next(rest.batches)
    rest.restore(half.get_state())
    for _ in range(4):
        rest.iterate()
    assert_equal_bits(collect_state_tensors(whole), collect_state_tensors(rest), "resume")


def test_zero_weight_term_is_not_computed() -> None:
    trainer = make_tiny_trainer(make_tiny_config(weights={"style": 0, "diversity": 0, "cycle": 0}, penalty="none"))
    assert set(compute_terms(trainer, "generator_latent")) == {"adversarial"}
    assert set(compute_terms(trainer, "discriminator_latent")) == {"real", "fake"}


def test_detached_cycle_style_skips_the_encoder() -> None:
    """SMILE's choice: the style encoder learns from the style term alone."""
    gradients = {}
    for detach in (False, True):
        weights = {"style": 0, "diversity": 0}
        trainer = make_tiny_trainer(make_tiny_config(detach_cycle_style=detach, weights=weights))
        compute_terms(trainer, "generator_latent")["cycle"].backward()
        gradients[detach] = [p.grad for p in trainer.networks["style_encoder"].parameters()]
    assert all(g is not None for g in gradients[False]) and all(g is None for g in gradients[True])


def test_layout_cycle_uses_cross_entropy() -> None:
    """SMILE's choice: one-hot maps in, logits out, several heads an image."""
    facts = Facts(image_size=SIZE, parts=tuple("vwxyz"), attributes=("A", "B"), domains=("no A", "A", "no B", "B"))
    batch = make_batch(3, picture="layout", channels=5)
    rows = torch.tensor([[1, 0, 0, 1], [0, 1, 1, 0], [1, 0, 1, 0], [0, 1, 0, 1]])
    batch["source"]["domain"], batch["reference"]["domain"] = rows, rows.flip(0)
    trainer = make_tiny_trainer(make_tiny_config(picture="layout", passes=["latent"]), facts, batch)
    terms = compute_terms(trainer, "generator_latent")
    g, f, e = (trainer.networks[name] for name in ("generator", "mapping", "style_encoder"))
    x = batch["source"]["layout"]
    style = f(trainer.targets["latent"], rows.flip(0))
    assert style.shape[:2] == (4, 2), "one style for each domain that is asked for"
    shares = g(x, style).softmax(1)
    back = F.cross_entropy(g(shares, e(x, rows)), x.argmax(1))
    torch.testing.assert_close(terms["cycle"], back)
    torch.testing.assert_close(terms["style"], (e(shares, rows.flip(0)) - style).abs().mean())
    assert trainer.game.needs["source"].fields == ("layout", "domain")
    assert trainer.game.needs["reference"].fields == ("domain",), "no reference gives a style"
    trainer.iterate()


def test_masked_diversity_ignores_kept_regions() -> None:
    trainer = make_tiny_trainer(make_tiny_config(diversity_outside_masks=True))
    trainer.fetch_batch()
    game, step = trainer.game, trainer.game.steps[2]
    one, other = torch.ones(2, 3, 8, 8), torch.zeros(2, 3, 8, 8)
    masks = torch.zeros(2, 1, 8, 8)
    masks[..., :4] = 1.0
    other[..., :4] = 0.5  # a difference of .5 where the face is kept, of 1 elsewhere

    for found, expected in (((masks, masks), 1.0), (None, 0.75), ((torch.ones(2, 1, 8, 8),) * 2, 0.0)):
        maps = type("Maps", (), {"field": None, "reads": "image", "__call__": lambda self, image, found=found: found})()
        game.heat_maps = maps  # type: ignore[assignment]
        trainer.shared.clear()
        turn = trainer.make_turn(step, 0, Clock(0, 1), slice(None), frozenset())
        assert float(game.diversity_loss(turn, one, other)) == expected  # type: ignore[operator]


def test_style_sizes_must_agree() -> None:
    facts = Facts(image_size=SIZE, attributes=("A",), domains=("a", "b"))
    message = r"generator.style_dim=3, mapping.style_dim=4, style_encoder.style_dim=3: a style has one size"
    with pytest.raises(ConfigError, match=message):
        compose(make_tiny_config(mapping={"style_dim": 4}), facts, REGISTRY)


def test_attributes_without_domains_are_refused_early() -> None:
    with pytest.raises(ConfigError, match=r"this method needs domains.*name one attribute.*got Male, Smiling"):
        rehearse(make_tiny_config(), Facts(image_size=SIZE, attributes=("Male", "Smiling")), REGISTRY)


# ---- augmentation ----


@pytest.mark.parametrize("passes", [["latent"], ["latent", "reference"]])
def test_augmentation_counts_each_batch_once(passes: list[str]) -> None:
    trainer = make_tiny_trainer(make_tiny_config(passes=passes, augment={"use": "ada", "every": 2, "images": 100}))
    game: Any = trainer.game
    trainer.networks["discriminator"].forward = lambda image, domain: image.mean((1, 2, 3)) * 0 + 1  # type: ignore[method-assign]
    for step in game.steps[: len(passes)]:
        compute_terms(trainer, step.name)
    assert float(game.trust_images) == 4 and float(game.trust_sum) == pytest.approx(4), "of four faces it is sure"
    game.end_iteration(Clock(1, 10))
    assert float(game.augment_p) == pytest.approx(4 / 100)


@pytest.mark.parametrize("way", ["latent", "reference"])
def test_penalty_gradient_passes_augmentation(way: str) -> None:
    """As StyleGAN2-ADA has it: with respect to the picture before the augmentation, which here triples it."""
    trainer = make_tiny_trainer(make_tiny_config())
    trainer.game.augment = lambda image, draw, name, p=None: 3 * image  # type: ignore[union-attr, assignment]
    trainer.game.augment.every = 0  # type: ignore[union-attr]
    terms = compute_terms(trainer, f"discriminator_{way}")
    assert trainer.batch is not None
    x, own = trainer.batch["source"]["image"].clone().requires_grad_(), trainer.batch["source"]["domain"]
    on_real = trainer.networks["discriminator"](3 * x, own)
    (slope,) = torch.autograd.grad(on_real.sum(), x)
    torch.testing.assert_close(terms["penalty"], slope.square().flatten(1).sum(1).mean() / 2)
    torch.testing.assert_close(terms["real"], F.softplus(-on_real).mean())


# ---- the editor ----


def test_one_seed_gives_one_style_to_all_faces() -> None:
    trainer = make_tiny_trainer(make_tiny_config())
    editor = trainer.game.make_editor(trainer.networks, attributes=("Eyeglasses",))
    image = make_batch(1)["source"]["image"]
    targets = editor.resolve(Request({"Eyeglasses": 1.0}), image)
    assert targets["domain"].tolist() == [1] * 4
    style = editor.apply(image, targets, seed=3).extras["style"]
    assert torch.equal(style, style[:1].expand_as(style))
    each = editor.apply(image, targets, seed=[3, 4, 5, 3]).extras["style"]
    assert torch.equal(each[0], style[0]) and torch.equal(each[0], each[3]) and not torch.equal(each[0], each[1])


def test_truncation_moves_styles_to_domain_mean() -> None:
    trainer = make_tiny_trainer(make_tiny_config())
    editor = trainer.game.make_editor(trainer.networks, attributes=("Eyeglasses",))
    image = make_batch(1)["source"]["image"]
    targets = {"domain": torch.tensor([0, 1, 0, 1])}
    full, none, half = (editor.apply(image, targets, seed=2, truncation=psi).extras["style"] for psi in (1.0, 0.0, 0.5))
    torch.testing.assert_close(half, (full + none) / 2)
    assert torch.equal(none[0], none[2]) and not torch.equal(none[0], none[1])
    head = trainer.networks["mapping"].heads[0]  # type: ignore[index, union-attr]
    torch.testing.assert_close(none[0], head(torch.zeros(5)), atol=0.1, rtol=0)  # the mean of a linear layer
    assert torch.equal(
        editor.apply(image, targets, seed=2).image, editor.apply(image, targets, seed=2, truncation=1.0).image
    )


def test_references_apply_to_all_or_one_each() -> None:
    trainer = make_tiny_trainer(make_tiny_config())
    editor = trainer.game.make_editor(trainer.networks, attributes=("Eyeglasses",))
    image, faces = (make_batch(k)["source"]["image"] for k in (1, 2))
    encoder = trainer.networks["style_encoder"]
    one = editor.resolve(Request(domain=1, reference=faces[:1]), image)
    each = editor.resolve(Request(domain=1, reference=faces), image)
    index = torch.ones(4, dtype=torch.int64)
    assert torch.equal(each["style"], encoder(faces, index))
    torch.testing.assert_close(one["style"], encoder(faces[:1], index[:1]).expand(4, -1))
    with pytest.raises(ValueError, match="2 references for 4 images"):
        editor.resolve(Request(domain=1, reference=faces[:2]), image)
    with pytest.raises(ValueError, match="truncation is for drawn styles"):
        editor.apply(image, one, truncation=0.5)
    with pytest.raises(ValueError, match="no mask"):
        editor.apply(image, one, threshold=0.5)


def test_sheet_shows_style_references() -> None:
    trainer = make_tiny_trainer(make_tiny_config())
    editor = trainer.game.make_editor(trainer.networks, attributes=("Eyeglasses",))
    image = make_batch(1)["source"]["image"]
    columns = editor.make_columns(image, torch.tensor([[0.0], [1.0], [0.0], [1.0]]))
    assert [column.caption for column in columns] == [
        "without, seed 0", "without, seed 1", "without like", "without like",
        "with, seed 0", "with, seed 1", "with like", "with like",
    ]  # fmt: skip
    assert [c.head is not None for c in columns] == [False, False, True, True] * 2
    assert columns[6].head is not None and torch.equal(columns[6].head, image[1])


def test_references_replace_random_styles() -> None:
    trainer = make_tiny_trainer(make_tiny_config())
    editor = trainer.game.make_editor(trainer.networks, attributes=("Eyeglasses",))
    image, faces = (make_batch(k)["source"]["image"] for k in (1, 2))
    own = torch.tensor([[0.0], [1.0], [0.0], [1.0]])
    guided = editor.make_guided_editor(faces, own)
    targets = editor.resolve(Request({"Eyeglasses": 1.0}), image)
    styles = guided.apply(image, targets, seed=list(range(4))).extras["style"]
    there = trainer.networks["style_encoder"](faces[1::2], torch.ones(2, dtype=torch.int64))
    assert all(any(torch.equal(style, other) for other in there) for style in styles)
    assert len(styles.unique(dim=0)) == 2, "seeds choose among them"
    assert not torch.equal(editor.apply(image, targets, seed=0).image, guided.apply(image, targets, seed=0).image)
    with pytest.raises(ValueError, match="no reference that shows without"):
        editor.make_guided_editor(faces[1::2], own[1::2])


def test_masked_diversity_uses_joint_batch() -> None:
    """Another process with twice the free pixels: the count is the mean of both."""
    trainer = make_tiny_trainer(make_tiny_config(diversity_outside_masks=True))
    trainer.fetch_batch()
    free = (torch.zeros(4, 1, 8, 8),) * 2
    trainer.game.heat_maps = type("Maps", (), {"field": None, "reads": "image", "__call__": lambda self, image: free})()  # type: ignore[assignment]
    turn = trainer.make_turn(trainer.game.steps[2], 0, Clock(0, 1), slice(None), frozenset())
    one, other = torch.ones(4, 3, 8, 8), torch.zeros(4, 3, 8, 8)
    assert float(trainer.game.diversity_loss(turn, one, other)) == 1.0  # type: ignore[operator]
    turn.world.reduce_mean = lambda value: value * 1.5  # type: ignore[method-assign]
    assert float(trainer.game.diversity_loss(turn, one, other)) == pytest.approx(1 / 1.5)  # type: ignore[operator]


def test_batch_norm_generator_is_not_shared() -> None:
    trained = []
    for sharing in (True, False):
        trainer = make_tiny_trainer(make_tiny_config(), sharing=sharing)
        body = trainer.networks["generator"].body
        trainer.networks["generator"].body = torch.nn.Sequential(body, torch.nn.BatchNorm2d(3))
        trainer.iterate()
        trained.append(dict(trainer.networks["generator"].state_dict()))
    assert_equal_bits(*trained, "sharing with batch statistics")


def test_each_face_is_measured_with_its_own_seed() -> None:
    seeds = make_face_seeds(0, torch.arange(5))
    assert len(set(seeds)) == 5 and seeds[2:4] == make_face_seeds(0, torch.tensor([2, 3])), "whatever the batch"
    assert not set(seeds) & set(make_face_seeds(1, torch.arange(5)))


def test_faces_with_hidden_labels_have_no_domain() -> None:
    source = DrawnSource(DrawnData(image_size=16, attributes=("Blond_Hair",), faces=200, held_out=20))
    hidden = source.read_visibility("train")[:, 0] < 0.5
    assert hidden.any() and not hidden.all()
    assert torch.equal(source.read_domains("train") < 0, hidden)
