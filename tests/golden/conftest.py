"""Golden cases of all methods and of heat maps: every json in the folders given by `--cases DIR`, or in this one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import official
import pytest
from heat_maps import MASKS, NETWORK, heat_map_cases
from image_cases import KINDS, image_cases
from layout_cases import layout_cases
from official import load_cases
from parts_cases import parts_cases
from sd_gan_cases import KINDS as SD_GAN_KINDS
from sd_gan_cases import sd_gan_cases
from style_networks import style_game_cases, style_network_cases
from synthesis_cases import synthesis_cases

import zoogan.builtin
import zoogan_sagan
import zoogan_sd_gan
import zoogan_semantic_stylegan
import zoogan_smile
import zoogan_stargan
import zoogan_stargan_v2
import zoogan_stylegan2
from zoogan.config.registry import Registry
from zoogan.devices import choose_device
from zoogan.errors import ConfigError
from zoogan.training.machine import use_cuda_flags


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--cases", action="append", metavar="DIR", help="folder of golden cases; repeatable")
    parser.addoption("--device", default="cpu", help="where the cases' networks and losses compute, TF32 off")


def pytest_configure(config: pytest.Config) -> None:
    try:
        official.compute_on(choose_device(config.getoption("device", default="cpu")))
    except ConfigError as error:
        raise pytest.UsageError(str(error)) from error


@pytest.fixture(scope="session", autouse=True)
def full_precision() -> Iterator[None]:
    """The cases' tolerances are those of float32."""
    with use_cuda_flags(official.accelerator().device, tf32=False):
        yield


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark all golden cases as slow, because most networks have their published widths."""
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker("slow")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    kinds = {"network_case": False, "loss_case": True}
    for fixture, losses in kinds.items():
        if fixture in metafunc.fixturenames:
            folders = metafunc.config.getoption("cases", default=None) or [Path(__file__).parent]
            missing = [str(folder) for folder in folders if not Path(folder).is_dir()]
            if missing:
                raise pytest.UsageError(f"--cases: no such folder: {', '.join(missing)}")
            cases = [c for c in load_cases([Path(f) for f in folders]) if (c.says.get("kind") == "losses") == losses]
            metafunc.parametrize(fixture, cases, ids=[case.name for case in cases])
    for fixture, kind in {"landmark_case": NETWORK, "mask_case": MASKS}.items():
        if fixture in metafunc.fixturenames:
            folders = metafunc.config.getoption("cases", default=None) or [Path(__file__).parent]
            found = heat_map_cases([Path(folder) for folder in folders], kind)
            metafunc.parametrize(fixture, found, ids=[case.name for case in found])
    for fixture, kind in {"style_loss_case": "losses", "style_training_case": "train-iterations"}.items():
        if fixture in metafunc.fixturenames:
            folders = metafunc.config.getoption("cases", default=None) or [Path(__file__).parent]
            found = style_game_cases([Path(folder) for folder in folders], kind)
            metafunc.parametrize(fixture, found, ids=[case.name for case in found])
    for kind in ("generator", "discriminator", "losses"):
        fixture = f"synthesis_{kind}_case"
        if fixture in metafunc.fixturenames:
            folders = metafunc.config.getoption("cases", default=None) or [Path(__file__).parent]
            found = synthesis_cases([Path(folder) for folder in folders], kind)
            metafunc.parametrize(fixture, found, ids=[case.name for case in found])
    for kind in ("generator", "discriminator", "losses"):
        fixture = f"parts_{kind}_case"
        if fixture in metafunc.fixturenames:
            folders = metafunc.config.getoption("cases", default=None) or [Path(__file__).parent]
            found = parts_cases([Path(folder) for folder in folders], kind)
            metafunc.parametrize(fixture, found, ids=[case.name for case in found])
    for kind in ("network", "losses", "keys"):
        fixture = f"layout_{kind}_case"
        if fixture in metafunc.fixturenames:
            folders = metafunc.config.getoption("cases", default=None) or [Path(__file__).parent]
            found = layout_cases([Path(folder) for folder in folders], kind)
            metafunc.parametrize(fixture, found, ids=[case.name for case in found])
    for kind in KINDS:
        fixture = f"image_{kind}_case"
        if fixture in metafunc.fixturenames:
            folders = metafunc.config.getoption("cases", default=None) or [Path(__file__).parent]
            found = image_cases([Path(folder) for folder in folders], kind)
            metafunc.parametrize(fixture, found, ids=[case.name for case in found])
    for kind in SD_GAN_KINDS:
        fixture = f"sd_gan_{kind}_case"
        if fixture in metafunc.fixturenames:
            folders = metafunc.config.getoption("cases", default=None) or [Path(__file__).parent]
            found = sd_gan_cases([Path(folder) for folder in folders], kind)
            metafunc.parametrize(fixture, found, ids=[case.name for case in found])
    if "style_network_case" in metafunc.fixturenames:
        folders = metafunc.config.getoption("cases", default=None) or [Path(__file__).parent]
        found = style_network_cases([Path(folder) for folder in folders])
        metafunc.parametrize("style_network_case", found, ids=[case.name for case in found])


@pytest.fixture(scope="session")
def registry() -> Registry:
    """The core and the methods, installed or not."""
    registry = Registry()
    methods = (
        zoogan_stargan,
        zoogan_stargan_v2,
        zoogan_sagan,
        zoogan_stylegan2,
        zoogan_semantic_stylegan,
        zoogan_smile,
        zoogan_sd_gan,
    )
    for module in (zoogan.builtin, *methods):
        registry.plugin = module.__name__
        module.zoo_register(registry=registry)
    return registry
