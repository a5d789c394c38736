"""The models of the config system: frozen pydantic classes with slots for components. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Protocol, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    field_validator,
    model_validator,
)
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from zoogan.errors import ConfigError
from zoogan.facts import Facts
from zoogan.names import suggest_name
from zoogan.paths import explain_path

LayoutUse = Literal["none", "optional", "needed"]
"""Whether an edit takes the layout of a face."""
MAX_INTEGER = 2**63 - 1
MAX_SIDE = 65_536  # pixels of a face
MAX_BATCH = 2**20  # faces
NAME_KEYS = ("use", "source")  # the field that names the component: `use`, for sources `source`


Value = TypeVar("Value")


class _ChangeableMark:
    """The mark of `Changeable` settings."""


Changeable = Annotated[Value, _ChangeableMark()]
"""`log_every: Changeable[int] = 20`: a setting that a resumed training may change without `--allow`.

It decides what is written or how fast it goes, and no number of an iteration beyond rounding.
"""


class ConfigModel(BaseModel):
    """Base of every config model: unknown keys are errors, values do not change.

    Numbers are finite, whole numbers have at most 64 bits, and paths are such as files can have.
    """

    # defer_build: validators are built on first use, so that loading every plugin's configs costs little.
    model_config = ConfigDict(
        extra="forbid", frozen=True, protected_namespaces=(), defer_build=True, allow_inf_nan=False
    )

    @field_validator("*", mode="after")
    @classmethod
    def _check_value(cls, value: Any) -> Any:
        """Refuse numbers and paths that nothing can work with."""
        if isinstance(value, int) and abs(value) > MAX_INTEGER:
            raise PydanticCustomError("range", "expected a whole number of at most 64 bits")
        if isinstance(value, Path) and (reason := explain_path(value)):
            raise PydanticCustomError("path", "{reason}; name another path", {"reason": reason})
        return value


class ComponentConfig(ConfigModel):
    """Base of component configs. A subclass adds `use: Literal["name"] = "name"` and its own options."""


def get_component_name(config: ComponentConfig) -> str:
    """Return the name under which the config's component is registered.

    Raises:
        ConfigError: The config has neither a field `use` nor `source`.
    """
    for key in NAME_KEYS:
        if key in type(config).model_fields:
            return str(getattr(config, key))
    raise ConfigError(f"{type(config).__name__} has no field {' or '.join(NAME_KEYS)}")


class Slot:
    """`Annotated[ComponentConfig, Slot("image_editor")]`: a field that any component of the role may fill.

    The field reads the component's name, validates with that component's own class and serialises all of its values.

    Args:
        role: The role, a key of `ROLES`.
    """

    def __init__(self, role: str) -> None:
        self.role = role
        self.key = "source" if role == "source" else "use"

    def __repr__(self) -> str:
        return f"Slot({self.role!r})"

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        def pick(value: Any, info: Any) -> ComponentConfig:
            if isinstance(value, ComponentConfig):
                return value
            registry = find_registry(info)
            if isinstance(value, str):
                value = {self.key: value}
            if not isinstance(value, Mapping) or self.key not in value:
                raise PydanticCustomError(
                    "component", f"expected a {self.role} as a name or a mapping with {self.key!r}, got {{got}}",
                    {"got": repr(value)},
                )  # fmt: skip
            name = str(value[self.key])
            known = registry.list_names(self.role)
            if name not in known:
                raise PydanticCustomError(
                    "component", f"no {self.role} is called {{name}}{{hint}}; known: {{known}}",
                    {"name": repr(name), "hint": suggest_name(name, known), "known": ", ".join(known)},
                )  # fmt: skip
            return registry.components[self.role, name].config.model_validate(value, context=info.context)

        return core_schema.with_info_plain_validator_function(
            pick,
            serialization=core_schema.plain_serializer_function_ser_schema(lambda v: v.model_dump(mode="json")),
        )


class RegisteredComponents(Protocol):
    """The part of the registry that validation uses."""

    components: dict[tuple[str, str], Any]

    def list_names(self, role: str) -> list[str]:
        """Return the names of the components of a role."""


def find_registry(info: Any) -> RegisteredComponents:
    """Return the registry in pydantic's ValidationInfo.

    Raises:
        ConfigError: The validation was started without a registry.
    """
    if info.context and "registry" in info.context:
        registry: RegisteredComponents = info.context["registry"]
        return registry
    raise ConfigError(
        "a config with slots needs the registry that knows their components: validate it with "
        "zoogan.config.validate(spec, registry, values)"
    )


def as_list(value: Any) -> Any:
    """Wrap one name in a list; return a list of names as it is."""
    return [value] if isinstance(value, str) else value


Names = Annotated[tuple[str, ...], BeforeValidator(as_list)]
"""A tuple of names; a single name counts as a tuple of one."""


def list_changeable(model: type[BaseModel]) -> list[str]:
    """List the fields of a config class that are `Changeable`."""
    return [
        name
        for name, info in model.model_fields.items()
        if any(isinstance(mark, _ChangeableMark) for mark in info.metadata)
    ]  # fmt: skip


class DataConfig(ComponentConfig):
    """Settings of every source. A source's config subclasses this and narrows `source`.

    With the class variable `finds_attributes` an empty `attributes` means every attribute that the source finds.
    With the class variable `reads_files` set to False a `root` is a mistake.

    Attributes:
        source: Name of the source.
        root: Folder of the data set, for sources that read files.
        image_size: Height and width in pixels, 16 or more.
        attributes: Attributes to edit, in the order of the label columns.
        balance: An attribute whose two values are drawn equally often.
        flip: Mirror half of the faces at random in training.
        random_crop: Share of the training faces that are cropped at random, to 0.8 to 1 of the area.
        batch: Faces that a process reads for one micro-batch.
        workers: Loader processes; 0 = load in the training process.
        prepare: Keep the training faces decoded, cropped and resized in the cache folder: auto = faces from files, as
            they are first read, where the training reads each at least twice and they take less than half of the free
            disk; always = all of them before the training begins; never.
        on_bad: A picture that turns out to be unreadable stops the training (fail), or another one of the same kind is
            read in its place (skip).
        max_bad: With on_bad=skip, the share of the training faces that may be unreadable.
    """

    finds_attributes: ClassVar[bool] = False
    reads_files: ClassVar[bool] = True

    source: str
    root: Changeable[Path | None] = None
    image_size: int = Field(64, ge=16, le=MAX_SIDE)
    attributes: Names = ("Eyeglasses",)
    balance: str | None = None
    flip: bool = False
    random_crop: float = Field(0.0, ge=0, le=1)
    batch: int = Field(16, ge=1, le=MAX_BATCH)
    workers: Changeable[int] = Field(0, ge=0, le=256)
    prepare: Changeable[Literal["auto", "always", "never"]] = "auto"
    on_bad: Changeable[Literal["fail", "skip"]] = "fail"
    max_bad: Changeable[float] = Field(0.05, ge=0, le=1)


def check_root(data: DataConfig, root: object) -> None:
    """Check that a source reads the folder that a person named.

    Args:
        data: Settings of the source.
        root: The folder; None = none was named.

    Raises:
        ConfigError: The source makes its faces and reads no files.
    """
    if root is not None and not data.reads_files:
        raise ConfigError(
            f"--root {root}: source {data.source!r} makes its faces and reads no files; name the source of this "
            "folder, as in --data folder, or remove --root"
        )


class TrainingConfig(ConfigModel):
    """How long and how to train. `*_every` count iterations; 0 = never.

    Attributes:
        iterations: Length of the training in iterations.
        seed: Seed of everything that is drawn.
        precision: fp32, bf16 (mixed, penalties in fp32) or fp64 (for checking arithmetic); fp16 is refused.
        compile: Compile the networks with torch.compile.
        threads: CPU threads, at most torch's own number (OMP_NUM_THREADS); null = torch's own number. Two is best for
            narrow networks.
        tf32: Let fp32 products and convolutions round to TensorFloat-32 on CUDA (10 bits of mantissa); torch's own
            default does so for convolutions alone. Operations that move or recolour pixels stay exact. Turn it off to
            compare numbers with other code.
        channels_last: Keep the channels of a pixel together in memory. About 25 % faster for narrow networks on a CPU.
        average: Decay of the moving average of the generator; null = no average, unless average_images is set.
        average_warm_up: Let the moving average follow quickly at first.
        average_images: Half-life of the moving average in images; use it instead of average.
        accumulate: Micro-batches whose gradients are added up for one update.
        log_every: Iterations between two lines of the log.
        sample_every: Iterations between two sample grids.
        checkpoint_every: Iterations between two checkpoints.
        keep: Newest checkpoints to keep.
        evaluate_every: Iterations between two evaluations on held-out faces.
        evaluate: Metrics that evaluate_every computes.
        evaluate_faces: Held-out faces that evaluate_every uses.
        evaluate_options: Options by metric name.
        best: A measure of these metrics, such as edit_error, whose best checkpoint is kept in addition to keep.
        start_from: Folder of a run whose weights the networks and averages start with. Settings of its networks are
            taken over unless they are set, and the average has no warm-up.
        freeze: Parts of networks that are not trained, such as generator.renderer.
        freeze_average: Parts that stay unchanged in the moving average only.
        trackers: Accelerate trackers to log to, such as tensorboard.
    """

    iterations: Changeable[int] = Field(1000, ge=1)
    seed: int = 0
    precision: Literal["fp32", "bf16", "fp16", "fp64"] = "fp32"
    compile: Changeable[bool] = False
    threads: Changeable[int | None] = Field(None, ge=1, le=4096)
    tf32: bool = True
    channels_last: Changeable[bool] = False
    average: float | None = Field(None, gt=0, lt=1, description="decay of the moving average of the generator")
    average_warm_up: bool = Field(True, description="let the average follow quickly at first")
    average_images: float | None = Field(None, gt=0, description="half-life of the average in images")
    accumulate: int = Field(1, ge=1, le=2**20)
    log_every: Changeable[int] = Field(20, ge=1)
    sample_every: Changeable[int] = Field(200, ge=0)
    checkpoint_every: Changeable[int] = Field(200, ge=0)
    keep: Changeable[int] = Field(3, ge=1)
    evaluate_every: Changeable[int] = Field(0, ge=0)
    evaluate: Changeable[Names] = ("edit_error",)
    evaluate_faces: Changeable[int] = Field(100, ge=1)
    evaluate_options: Changeable[dict[str, dict[str, Any]]] = Field(default_factory=dict)
    best: Changeable[str | None] = None
    start_from: Path | None = None
    freeze: Names = ()
    freeze_average: Names = ()
    trackers: Changeable[Names] = ()

    @model_validator(mode="after")
    def _consistent(self) -> TrainingConfig:
        """Refuse settings that contradict each other."""
        if self.average is not None and self.average_images is not None:
            raise ValueError("training.average and training.average_images both set the decay of the average: keep one")
        if self.best is not None and not self.evaluate_every:
            raise ValueError("training.best needs evaluations: set training.evaluate_every above 0")
        return self


class StageConfig(ConfigModel):
    """Settings of a stage: a training or a job whose result a method uses. Each kind of stage subclasses this.

    With the class variable `is_joint` all processes run the stage together; other stages run on the main process while
    the others wait.

    Attributes:
        path: A finished result to copy instead of making one.
    """

    is_joint: ClassVar[bool] = False

    path: Changeable[Path | None] = None


class StagesConfig(ConfigModel):
    """Settings of a method's stages, one field a stage. A method with stages narrows it; other methods have none."""


class GameConfig(ConfigModel):
    """Settings of every run. A game's config adds slots, weights and optimizers; a method's config sets their defaults.

    Attributes:
        method: Id of the method.
        recipe: Name of the recipe.
        data: The source and its settings.
        condition: The condition and its settings.
        extra_terms: Options of additional loss terms, by step and term name; null removes a recipe's term.
        stages: Settings of the trainings and jobs that come first, by stage. Stored only for methods with stages.
        training: How long and how to train.
    """

    method: str
    recipe: Changeable[str | None] = None
    data: Annotated[DataConfig, Slot("source")]
    condition: Annotated[ComponentConfig, Slot("condition")]
    extra_terms: dict[str, dict[str, Annotated[ComponentConfig, Slot("term")]]] = Field(default_factory=dict)
    stages: StagesConfig = Field(StagesConfig(), exclude=True)
    training: TrainingConfig = TrainingConfig()

    def adapt_facts(self, facts: Facts) -> Facts:
        """Return the facts that the components are built with. By default those of the data.

        Args:
            facts: The facts of the data.

        Raises:
            ConfigError: The game cannot train on such data.
        """
        return facts

    @property
    def layout_use(self) -> LayoutUse:
        """Whether edits of a run take the layouts of faces: `none`, `optional`, or `needed` for every edit.

        It is read before the run is opened.
        """
        return "none"


def find_slots(model: type[BaseModel]) -> dict[str, Slot]:
    """Return the slots among a model's fields, by field name."""
    return {
        name: slot
        for name, info in model.model_fields.items()
        for slot in info.metadata
        if isinstance(slot, Slot)
    }  # fmt: skip
