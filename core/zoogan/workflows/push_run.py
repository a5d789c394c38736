"""Pushes a run to the Hugging Face Hub: what editing needs, a card and a sheet; no checkpoints, paths or code."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

from zoogan.errors import ConfigError
from zoogan.plugins.host import get_zoo
from zoogan.runs.hub import is_network_error, parse_hub_address
from zoogan.runs.licence import is_drawn
from zoogan.runs.loaded import LoadedRun
from zoogan.runs.opening import load
from zoogan.workflows.export_run import export_run
from zoogan.workflows.run_card import format_front_matter, make_card, read_template
from zoogan.workflows.sample import save_sample_sheet

REPLACED = ("model/*", "directions/*", "stages/*", "stages.json")  # of an earlier push
SHEET_FACES = 16


def push(
    run: str | Path | LoadedRun, repository: str, *, private: bool = False, space: bool = False, half: bool = False
) -> str:
    """Push a run to the Hugging Face Hub, from where `zoogan.load("owner/name")` opens it.

    Config, facts, the networks that editing reads, directions and stages are pushed, with a card of what it is and how
    good it is. Checkpoints, logs, paths of this machine and code are not.

    Args:
        run: The run, or what `zoogan.load` opens.
        repository: `owner/name`; it is made if it does not exist.
        private: Whether a repository that is made is private.
        space: Also make a Space of that name, a page on which everybody can edit with the run.
        half: Store weights as float16, see `zoogan.export_run`.

    Returns:
        The address of its page.

    Raises:
        ConfigError: The run cannot be opened, the name is no `owner/name`, or the Hub refuses or cannot be reached.
    """
    address = parse_hub_address(repository)
    if address is None or address.revision is not None:
        raise ConfigError(f"{repository}: expected a name on the Hub such as owner/name")
    loaded = run if isinstance(run, LoadedRun) else load(run)
    if loaded.checkpoint is not None:
        raise ConfigError(f"this run is opened at checkpoint {loaded.checkpoint}; open its model to push it")
    import huggingface_hub

    with tempfile.TemporaryDirectory(prefix="zoogan-push-") as draft:
        folder = export_run(loaded, Path(draft) / "run", half=half)
        write_card_files(loaded, folder, repository)
        client = huggingface_hub.HfApi(library_name="zoogan")
        with explain_refusal(repository):
            create_repository(client, repository, private)
            client.upload_folder(
                repo_id=repository,
                folder_path=folder,
                delete_patterns=list(REPLACED),
                commit_message="Push a run",
            )
            if space:
                page = write_space_files(loaded, Path(draft) / "space", repository)
                create_repository(client, repository, private, repo_type="space", space_sdk="gradio")
                client.upload_folder(
                    repo_id=repository, repo_type="space", folder_path=page, commit_message="Show a run of zoogan"
                )
    return f"{client.endpoint}/{repository}"


def create_repository(client: Any, repository: str, private: bool, **options: str) -> None:
    """Create a repository of the Hub, unless it exists.

    Args:
        client: The Hub's client.
        repository: `owner/name`.
        private: Whether nobody else may see it.
        options: `repo_type` and `space_sdk`.

    Raises:
        ConfigError: It should be private, exists, and is public.
    """
    client.create_repo(repository, private=private or None, exist_ok=True, **options)
    if private and client.repo_info(repository, repo_type=options.get("repo_type")).private is False:
        raise ConfigError(f"--private: {repository} exists and is public; make it private on its page, or name another")


def write_card_files(run: LoadedRun, folder: Path, address: str) -> None:
    """Write README.md, requirements.txt and, where there is one, sheet.png.

    Args:
        run: The run.
        folder: The copy of the run.
        address: What opens it.
    """
    packages = list_packages(run)
    has_sheet = save_sheet(run, folder / "sheet.png")
    (folder / "requirements.txt").write_text("\n".join(packages) + "\n", encoding="utf-8")
    card = make_card(run, address, packages=packages, has_sheet=has_sheet)
    (folder / "README.md").write_text(card, encoding="utf-8")


def write_space_files(run: LoadedRun, folder: Path, address: str) -> Path:
    """Write the files of a Space: app.py, requirements.txt and README.md."""
    title = f"{run.config.method} by zoogan"
    folder.mkdir()
    front = {
        "title": title, "sdk": "gradio", "app_file": "app.py", "models": [address], "tags": ["zoogan"],
    }  # fmt: skip
    app = read_template("space_app.txt").substitute(address=address, title=title)
    (folder / "app.py").write_text(app, encoding="utf-8")
    (folder / "requirements.txt").write_text("\n".join(list_packages(run)) + "\n", encoding="utf-8")
    (folder / "README.md").write_text(f"---\n{format_front_matter(front)}---\n", encoding="utf-8")
    return folder


def list_packages(run: LoadedRun) -> list[str]:
    """List the packages that a run needs: zoogan, and what brings its method."""
    plugin = get_zoo().registry.methods[run.config.method].plugin
    distribution = next(
        (one.dist.name for one in metadata.entry_points(group="zoogan.plugins") if one.name == plugin and one.dist),
        None,
    )
    return ["zoogan", *([distribution] if distribution not in (None, "zoogan") else [])]


def save_sheet(run: LoadedRun, path: Path) -> bool:
    """Save a sheet of faces that may be shown; returns whether there is one.

    It is that of the run folder; or faces that the run makes; or, for a run on drawn faces, the last sample of its
    training. Faces of other data stay here: their licence decides who may show them.
    """
    if run.path is not None and (run.path / "sheet.png").is_file():
        path.write_bytes((run.path / "sheet.png").read_bytes())
    elif run.editor.can_sample:
        save_sample_sheet(run, range(SHEET_FACES), path)
    elif run.path is not None and is_drawn(run.config) and (files := sorted((run.path / "samples").glob("*.png"))):
        path.write_bytes(files[-1].read_bytes())
    return path.exists()


@contextmanager
def explain_refusal(repository: str) -> Iterator[None]:
    """Turn errors of the Hub's client into one sentence."""
    from huggingface_hub import errors as hub

    try:
        yield
    except hub.OfflineModeIsEnabled:
        raise ConfigError(f"{repository}: this machine is offline (HF_HUB_OFFLINE); nothing was pushed") from None
    except hub.HfHubHTTPError as error:
        status = error.response.status_code if error.response is not None else None
        if status in (401, 403):
            raise ConfigError(
                f"{repository}: the Hub refuses to write there ({status}); log in with hf auth login and a token that "
                "may write, and check the owner"
            ) from None
        raise ConfigError(f"{repository}: the Hub refuses: {error}") from error
    except Exception as error:
        if not is_network_error(error):
            raise
        raise ConfigError(f"{repository}: the Hub cannot be reached ({error}); connect this machine") from error
