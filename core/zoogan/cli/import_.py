"""`zoo import`: official weights become a run. No pickle is executed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from zoogan.cli.arguments import Model, PluginFiles, open_with
from zoogan.config import ConfigError, compose_config, merge, parse_sets
from zoogan.plugins import Zoo
from zoogan.registry import MethodSpec, resolve


def import_(
    method: Model,
    out: Annotated[Path, typer.Option(help="The run folder to make.")],
    weights: Annotated[list[Path], typer.Option(help="A file or folder of official weights; repeatable.")],
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="What the weights cannot tell, such as data.attributes=Black_Hair,Male."
        ),
    ] = None,
    plugin: PluginFiles = None,
) -> None:
    """Make a run from official weights, ready for `zoo edit`."""
    from zoogan.training.folders import used

    zoo = open_with(plugin)
    spec = zoo.method(method)
    if spec.importer is None:
        raise ConfigError(f"{method} has no importer of official weights")
    if used(out):
        raise ConfigError(f"--out {out}: the folder is in use; choose another")
    for note in import_weights(zoo, spec, weights, parse_sets(set_ or []), out):
        typer.echo(f"note: {note}")
    typer.echo(f"imported into {out}\n  edit a photo zoo edit {out} PHOTO --attribute NAME=1")


def import_weights(zoo: Zoo, spec: MethodSpec, files: list[Path], sets: dict[str, Any], out: Path) -> list[str]:
    """Read official files, build the networks they describe and write the run. Returns notes for the person.

    Raises:
        ConfigError: files that are not the method's, or weights that do not fit the config.
    """
    from zoogan.composition import compose
    from zoogan.facts import Facts
    from zoogan.training.run import Run

    data = sets.get("data", {})
    if not isinstance(data, dict):
        raise ConfigError("--set data=...: weights have no source; name labels by --set data.attributes=A,B")
    attributes = data.get("attributes")
    settings = {} if attributes is None else {"attributes": [attributes] if isinstance(attributes, str) else attributes}
    assert spec.importer is not None
    imported = resolve(spec.importer)(files, settings)
    config = compose_config(spec, zoo.registry, sets=merge(imported.config, sets))
    config = config.model_copy(update={"recipe": None})  # the weights come from no recipe of ours
    facts = Facts(image_size=config.data.image_size, attributes=config.data.attributes, **imported.facts)
    composition = compose(config, facts, zoo.registry)
    missing = set(composition.nets) - set(imported.networks)
    needed = sorted(missing - set(imported.untrained))
    if needed:
        raise ConfigError(f"--weights: no file holds the {' or the '.join(needed)}; name every file of the model")
    for name, state in imported.networks.items():
        try:
            composition.nets[name].load_state_dict(state)
        except RuntimeError as error:
            raise ConfigError(f"--weights: the {name}'s weights do not fit its config: {error}") from error
    run = Run(out)
    run.write(config, facts)
    run.write_model(config, facts, composition.nets)
    fresh = [f"the {name} is not in the files and starts untrained; edits do not need it" for name in sorted(missing)]
    return [*imported.notes, *fresh]
