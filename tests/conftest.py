"""Settings of all tests: one torch thread, checked shapes, and a fixed seed for hypothesis."""

from __future__ import annotations

import os
from collections.abc import Callable

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # read when the library is imported

# Imported before the hook below, which would compile these packages anew, without Python's cache.
import accelerate  # noqa: F401
import jaxtyping
import pytest
import torch
import torch._dynamo
import torchvision.transforms.v2  # noqa: F401
from hypothesis import HealthCheck, settings
from jaxtyping import install_import_hook

from support.shape_checks import check_shapes

# Tests check shapes and dtypes of every annotated function in these packages; outside of tests nothing is checked.
ROOMS = [
    "interfaces", "layers", "losses", "conditions", "games", "editors", "data", "pictures", "auxiliary", "judges",
    "evaluation",
]  # fmt: skip
NETWORKS_ONLY = ["sagan", "stargan", "stargan_v2", "stylegan2"]
ALL_MODULES = ["semantic_stylegan"]
hook = install_import_hook(
    [
        *(f"zoogan.{room}" for room in ROOMS),
        *(f"zoogan_{method}.networks" for method in NETWORKS_ONLY),
        *(f"zoogan_{method}" for method in ALL_MODULES),
    ],
    "beartype.beartype",
)
hook.__enter__()
jaxtyping.jaxtyped = check_shapes  # by this name the hook decorates what it imports

torch.set_num_threads(1)
torch.set_num_interop_threads(1)

settings.register_profile(
    "ci", max_examples=15, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("nightly", max_examples=300, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


CONVOLUTIONS = [f"conv{transpose}{dimensions}d" for transpose in ("", "_transpose") for dimensions in (1, 2, 3)]


@pytest.fixture(autouse=True)
def forbid_single_precision_convolutions(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail tests marked `without_onednn` that convolve in single precision: oneDNN rounds as the CPU allows."""
    if request.node.get_closest_marker("without_onednn") is None:
        return
    for module in (torch, torch.nn.functional):
        for name in CONVOLUTIONS:
            monkeypatch.setattr(module, name, require_double(getattr(module, name)))


def require_double(convolve: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    """Return a convolution that refuses other images than those in float64."""

    def convolve_in_double(image: torch.Tensor, *args: object, **kwargs: object) -> torch.Tensor:
        assert image.dtype == torch.float64, f"a convolution in {image.dtype}, which oneDNN computes: remove the marker"
        return convolve(image, *args, **kwargs)

    return convolve_in_double
