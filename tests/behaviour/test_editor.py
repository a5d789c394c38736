"""The editor of attribute editing: what it makes of a request when nobody gives the labels of a face."""

from __future__ import annotations

import pytest
import torch

from zoogan.composition import compose
from zoogan.interfaces import Request
from zoogan.plugins import zoo
from zoogan.testing.conformance import tiny_config, tiny_facts
from zoogan.testing.tensors import faces

DOMAINS = ("Angry", "Happy", "Sad")


@pytest.mark.parametrize(("use", "shown"), [("softmax", [[1.0, 0.0, 0.0]] * 2), ("binary", [[0.0, 0.0, 0.0]] * 2)])
def test_labels_are_read_off_the_face_as_the_critic_was_taught(use: str, shown: list[list[float]]) -> None:
    registry = zoo().registry
    sets = {"classification": {"use": use}, "data": {"attributes": list(DOMAINS)}}
    config = tiny_config("stargan", registry, sets)
    composition = compose(config, tiny_facts(config), registry)
    critic = composition.nets["discriminator"]
    image = faces(0, 2, 16)
    logits = torch.tensor([-1.0, -2.0, -3.0]).expand(2, -1)  # nothing above 0, and yet one domain is the likeliest
    critic.register_forward_hook(lambda module, given, verdict: verdict._replace(attributes=logits))
    editor = composition.game.editor(composition.nets.eval(), attributes=DOMAINS)
    assert editor.resolve(Request({"Happy": 0.0}), image)["attributes"].tolist() == shown
