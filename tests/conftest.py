"""Every test runs on one torch thread, with shapes checked and hypothesis seeded."""

from __future__ import annotations

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # read when its library is imported

# What modules of ours import comes first: under the hook it would be compiled anew, past Python's cache.
import accelerate  # noqa: F401
import beartype  # noqa: F401
import torch
import torch._dynamo
import torchvision.transforms.v2  # noqa: F401
from hypothesis import HealthCheck, settings
from jaxtyping import install_import_hook

# Shapes and dtypes of every annotated function are checked in tests; at run time the annotations cost nothing.
CHECKED = [
    "interfaces", "layers", "losses", "conditions", "games", "editors", "data", "pictures", "auxiliary", "judges",
    "evaluation",
]  # fmt: skip
METHODS = ["sagan", "stargan", "stargan_v2", "stylegan2"]
WHOLE = ["semantic_stylegan"]  # every module of these
hook = install_import_hook(
    [
        *(f"zoogan.{room}" for room in CHECKED),
        *(f"zoogan_{method}.networks" for method in METHODS),
        *(f"zoogan_{method}" for method in WHOLE),
    ],
    "beartype.beartype",
)
hook.__enter__()

torch.set_num_threads(1)
torch.set_num_interop_threads(1)

settings.register_profile(
    "ci", max_examples=15, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("nightly", max_examples=300, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))
