"""Builds the gallery: trains each method with its default command, measures it, and stores what editing needs.

`python gallery/build.py` makes everything anew, in hours. `--only sagan` builds one run and leaves the others as they
are. `--from-runs FOLDER` takes finished runs instead of training; `--judge FOLDER` takes a finished judge.

`--data celeba --root DIR --out FOLDER` builds the same runs from faces that you may use and we may not ship; they are
for you alone.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from card import write_card
from pictures import measure_rounding, save_faces, save_sheet
from records import list_commands, measure_seconds, rewrite_entries

import zoogan
from zoogan.cli import main as zoo
from zoogan.config import compose_config
from zoogan.errors import ConfigError
from zoogan.plugins.host import get_zoo

HERE = Path(__file__).resolve().parent
PACKAGE = HERE / "zoogan_gallery"
JUDGE, FACES = "judge", "faces"
JUDGED = "Male,Eyeglasses,Wearing_Hat,Bangs,Bald,Wearing_Earrings"
EVALUATED_FACES = 200  # held-out faces, or samples, of each report


@dataclass(frozen=True)
class Plan:
    """How one run of the gallery is made.

    Attributes:
        name: Name of the run.
        options: Options of `zoo train`.
        directions: Attributes whose directions are fitted, for runs that make faces; as far as a judge reads them.
        needs_parts: Whether training reads segmentations, which some sources lack.
        left_out: Networks that edits can do without, see `zoogan.export_run`.
    """

    name: str
    options: tuple[str, ...]
    directions: tuple[str, ...] = ()
    needs_parts: bool = False
    left_out: tuple[str, ...] = ()


WORN = tuple(f"--set=data.probabilities.{name}=0.35" for name in ("Face_Mask", "Eyeglasses"))
PLANS = (
    # It edits one attribute, so that no edit leaves one open.
    Plan("sagan", ("--model", "sagan"), left_out=("discriminator",)),
    # Without the identity term the generator inverts colours, as the cycle term allows. At half the default size three
    # times the iterations take as long.
    Plan(
        "stargan", ("--model", "stargan", "--set=data.image_size=32", "--set=weights.identity=10", "--iterations=6000")
    ),
    Plan("stargan-v2", ("--model", "stargan-v2")),
    # The faces of SD-GAN's backbone, of which every third wears a mask or glasses, so that directions can be fitted.
    Plan("stylegan2", ("--model", "stylegan2", *WORN), ("Eyeglasses", "Male", "Bangs")),
    Plan("semantic-stylegan", ("--model", "semantic-stylegan"), ("Eyeglasses", "Male", "Bangs"), needs_parts=True),
    Plan("smile", ("--model", "smile"), needs_parts=True),
    Plan("sd-gan", ("--model", "sd-gan"), needs_parts=True),
)


def build(arguments: argparse.Namespace) -> int:
    """Build the chosen runs; returns the exit code."""
    out, is_shipped = arguments.out or PACKAGE, arguments.data == "drawn"
    if not is_shipped and (arguments.out is None or arguments.root is None):
        raise ConfigError("--data: name the faces with --root DIR, and the folder of the runs with --out FOLDER")
    plans, skipped = choose_plans(arguments)
    for name, reason in skipped.items():
        print(f"{name}: left out: {reason}")
    work = arguments.work or Path("runs")
    for plan in plans:
        print(f"{plan.name}: zoo train {' '.join(plan.options)}")
    if arguments.plan:
        return 0
    needs_judge = arguments.faces or any(plan.directions for plan in plans) or arguments.ship_judge
    judges = [prepare_judge(arguments, out, work), *arguments.judge[1:]] if needs_judge else []
    if is_shipped and not (out / FACES).exists():
        save_faces(out / FACES)
    for plan in plans:
        run = find_run(plan.name, arguments.from_runs) or train(plan, arguments, work)
        finish(plan, run, judges, out, arguments)
    if out == PACKAGE:
        rewrite_entries(HERE / "pyproject.toml", PACKAGE)
    return 0


def choose_plans(arguments: argparse.Namespace) -> tuple[list[Plan], dict[str, str]]:
    """Choose the runs to build, with all options of `zoo train`; and say why others are left out."""
    names = [plan.name for plan in PLANS]
    if unknown := [name for name in arguments.only if name not in names]:
        raise ConfigError(f"--only {unknown[0]}: the runs are {', '.join(names)}")
    plans, skipped = [], {}
    for plan in PLANS:
        if arguments.only and plan.name not in arguments.only:
            continue
        options = list(plan.options) if arguments.data == "drawn" else [*plan.options[:2], "--data", arguments.data]
        if arguments.iterations is not None:
            options += ["--iterations", str(arguments.iterations)]
        for setting in arguments.set:
            options += ["--set", setting]
        try:
            zoo_now = get_zoo()
            source = None if arguments.data == "drawn" else arguments.data
            config = compose_config(zoo_now.get_method(plan.options[1]), zoo_now.registry, source=source)
        except ConfigError as error:
            skipped[plan.name] = str(error).splitlines()[0]
            continue
        if plan.needs_parts and not hasattr(config.data, "label_set"):
            skipped[plan.name] = f"it trains with maps of parts, which {arguments.data} has not: --data celebamask_hq"
            continue
        plans.append(replace(plan, options=tuple(options)))
    return plans, skipped


def prepare_judge(arguments: argparse.Namespace, out: Path, work: Path) -> Path:
    """Return a judge of the faces: the given one, that of the gallery, or a new one; it is stored in the gallery."""
    stored = out / JUDGE
    if arguments.judge:
        if arguments.ship_judge:
            store_judge(arguments.judge[0], stored)
        return Path(arguments.judge[0])
    if stored.exists():
        return stored
    command = ["judge", "train", "--data", arguments.data, "--out", str(work / JUDGE), "--set", "data.image_size=32"]
    command += ["--attributes", JUDGED] + ([] if arguments.root is None else ["--root", str(arguments.root)])
    run_verb(command)
    store_judge(work / JUDGE, stored)
    return work / JUDGE


def store_judge(judge: Path, stored: Path) -> None:
    """Store a judge in the gallery, in place of an earlier one."""
    draft = stored.parent / ".draft" / JUDGE
    shutil.rmtree(draft, ignore_errors=True)
    zoogan.export_judge(judge, draft, half=True)
    shutil.rmtree(stored, ignore_errors=True)
    draft.rename(stored)
    shutil.rmtree(draft.parent)


def run_verb(command: Sequence[str]) -> None:
    """Run a verb of zoo, and stop the build if it fails."""
    print(f"$ zoo {' '.join(command)}", flush=True)
    if (code := zoo(list(command))) != 0:
        sys.exit(code)


def find_run(method: str, folders: Sequence[Path]) -> Path | None:
    """Find the finished run of a method in these folders, the last by name."""
    runs = [folder for parent in folders for folder in sorted([parent, *parent.glob("*")])]
    found = None
    for folder in runs:
        config, model = folder / "config.yaml", folder / "model" / "config.json"
        if config.exists() and model.exists() and config.read_text().startswith(f"method: {method}\n"):
            planned = compose_length(folder)
            done = json.loads(model.read_text()).get("iteration")
            if done is None or done >= planned:
                found = folder
            else:
                print(f"{folder.name}: not finished ({done} of {planned} iterations)")
    return found


def compose_length(folder: Path) -> int:
    """Read how many iterations a run was planned for."""
    from zoogan.config import read_yaml

    return int(read_yaml(folder / "config.yaml")["training"]["iterations"])


def train(plan: Plan, arguments: argparse.Namespace, work: Path) -> Path:
    """Train a run, or go on with it if it was begun."""
    run = work / plan.name
    if (run / "config.yaml").exists():
        run_verb(["train", "--out", str(run), "--resume"])
    else:
        root = [] if arguments.root is None else ["--root", str(arguments.root)]
        run_verb(["train", *plan.options, *root, "--out", str(run)])
    return run


def finish(plan: Plan, run: Path, judges: Sequence[Path], out: Path, arguments: argparse.Namespace) -> None:
    """Store a trained run in the gallery, with directions, report, sheet and card."""
    copy = out / "runs" / plan.name if out == PACKAGE else out / plan.name
    draft = copy.parent / ".draft" / copy.name  # the report takes its name from the folder
    shutil.rmtree(draft, ignore_errors=True)
    zoogan.export_run(run, draft, half=True, without=plan.left_out)
    fit_directions(plan, draft, judges)
    moved = [] if arguments.root is None else ["--root", str(arguments.root)]
    stored = run / "report"
    has_report = (stored / "report.json").exists() and not arguments.measure
    if has_report:
        shutil.copytree(stored, draft / "report", ignore=shutil.ignore_patterns("faces.safetensors"))
    elif arguments.faces:
        measured = ["--faces", str(arguments.faces), "--judge", str(choose_judge(run, judges)), *moved]
        run_verb(["evaluate", str(draft), "--out", str(draft / "report"), *measured])
        (draft / "report" / "faces.safetensors").unlink()  # tens of megabytes, which only `zoo compare` reads
    for page in (draft / "report").glob("report.*"):  # they say where files were looked for that were not there
        page.write_text(page.read_text(encoding="utf-8").replace(str(Path.home()), "~"), encoding="utf-8")
    save_sheet(zoogan.load(draft), draft / "sheet.png", arguments.root)
    write_card(
        draft / "README.md", name=plan.name, run=zoogan.load(draft), seconds=measure_seconds(run),
        rounding=measure_rounding(run, draft, arguments.root), commands=list_commands(run),
        left_out=plan.left_out, is_shipped=arguments.data == "drawn",
        measured="before rounding" if has_report else "with the stored weights",
    )  # fmt: skip
    shutil.rmtree(copy, ignore_errors=True)
    draft.rename(copy)
    shutil.rmtree(draft.parent)
    megabytes = sum(file.stat().st_size for file in copy.rglob("*") if file.is_file()) / 1e6
    print(f"{plan.name}: {copy} ({megabytes:.1f} MB)")


def fit_directions(plan: Plan, run: Path, judges: Sequence[Path]) -> None:
    """Fit the planned directions that a run does not have yet, each with the first judge that reads it."""
    for judge, names in list_judged(plan, run, judges):
        options = [part for name in names for part in ("--attribute", name)]
        print(f"$ zoo direction {plan.name} {' '.join(options)}", flush=True)
        code = zoo(["direction", str(run), *options, "--judge", str(judge), "-n", "2000"])
        if code not in (0, 2):  # 2: some attributes are too rare, which it says
            sys.exit(code)


def list_judged(plan: Plan, run: Path, judges: Sequence[Path]) -> Iterator[tuple[Path, list[str]]]:
    """Yield each judge with the attributes whose directions it is to fit."""
    missing = [name for name in plan.directions if not (run / "directions" / f"{name}.safetensors").exists()]
    for judge in judges:
        known = json.loads((judge / "judge.json").read_text())["attributes"]
        names = [name for name in missing if name in known]
        missing = [name for name in missing if name not in known]
        if names:
            yield judge, names
    for name in missing:
        print(f"{plan.name}: no direction of {name}: no judge reads it")


def choose_judge(run: Path, judges: Sequence[Path]) -> Path:
    """Choose the judge that reads most of a run's attributes."""
    attributes = set(json.loads((run / "facts.json").read_text())["attributes"])

    def count(judge: Path) -> int:
        return len(attributes & set(json.loads((judge / "judge.json").read_text())["attributes"]))

    return max(judges, key=count)


def parse_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    many: dict[str, Any] = {"action": "append", "default": []}
    parser.add_argument("--only", metavar="NAME", **many, help="build this run alone; repeatable")
    parser.add_argument("--from-runs", metavar="FOLDER", type=Path, **many, help="finished runs; repeatable")
    parser.add_argument("--judge", metavar="FOLDER", type=Path, **many, help="a finished judge; repeatable")
    parser.add_argument("--ship-judge", action="store_true", help="store the first --judge in the gallery")
    parser.add_argument("--data", default="drawn", help="the source of faces (default: drawn)")
    parser.add_argument("--root", type=Path, help="folder of the source")
    parser.add_argument("--out", type=Path, help="where the runs are stored (default: the package)")
    parser.add_argument("--work", type=Path, help="where runs are trained (default: runs)")
    parser.add_argument("--iterations", type=int, help="train each so long (default: as its recipe says)")
    parser.add_argument("--set", metavar="KEY=VALUE", **many, help="a setting of every training; repeatable")
    parser.add_argument("--faces", type=int, default=EVALUATED_FACES, help="faces of each report; 0 = no report")
    parser.add_argument("--measure", action="store_true", help="measure runs anew that have a report")
    parser.add_argument("--plan", action="store_true", help="print what would be built, and stop")
    return parser.parse_args(argv)


if __name__ == "__main__":
    try:
        sys.exit(build(parse_arguments()))
    except ConfigError as error:
        sys.exit(f"build.py: {error}")
