"""The metric role, and the measures that metrics return."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, ClassVar, Literal

from zoogan.interfaces.edits import Edits, Samples
from zoogan.interfaces.statistic import Statistic
from zoogan.interfaces.study import Kind, Study

DefaultKind = Literal["edits", "samples", "generated", "parts", "layouts"]
"""What metrics run on by default; parts = samples of faces with parts, layouts = edits that are segmentations alone."""
MetricInput = Literal["image", "segmentation"]
"""What a metric may read of an edit or a sample."""
Better = Literal["higher", "lower"] | None  # which way is good; None = neither


class Unavailable(Exception):
    """A metric cannot be computed here. The message says why and what to do; reports show it in place of numbers."""


@dataclass(frozen=True)
class Measure:
    """One number of a report.

    Attributes:
        name: Name of the measure, such as `fd_squeezenet` or `success.on`.
        attribute: The attribute that was edited or read; None = over all of them.
        statistic: The number and the rows behind it.
        better: Which way is good; None = neither.
        backbone: The network that it is measured with; None = no network is used.
        weights: sha256 of that network's weights.
        resizer: How faces were resized for that network.
        reference: Digest of the real faces that edits or samples are compared with, if they are.
        note: Explanations, separated by `; `.
        libraries: Distributions whose version matters, besides torch and zoogan.
    """

    name: str
    attribute: str | None
    statistic: Statistic
    better: Better
    backbone: str | None = None
    weights: str | None = None
    resizer: str | None = None
    reference: str | None = None
    note: str = ""
    libraries: Sequence[str] = field(default_factory=tuple)


@dataclass(frozen=True)
class Headline:
    """How a measure is shown among the headline figures of reports and comparisons.

    Attributes:
        label: Its short name.
        meaning: What its value means; the caption below it.
        report_place: Its place among the headline figures of a report, which shows the first few that were measured;
            low numbers come first. None = not shown there.
        comparison_place: Its place in the first table of a comparison. None = not shown there.
    """

    label: str
    meaning: str
    report_place: int | None = None
    comparison_place: int | None = None


class Metric(ABC):
    """Role `metric`: gets every edit of every attribute once, or every sample, then computes its measures.

    A metric is one class, registered by one line: `registry.metric("redness", "my_package.redness:Redness")`. It stores
    rows with the number of their face, so that the result does not depend on order and size of batches, and the rows of
    several processes can be joined.

    Args:
        config: Its options; None = their defaults.
        facts: Facts of the data; unused by most metrics.

    Attributes:
        Config: Its options, a `ComponentConfig` with `use: Literal["redness"] = "redness"`; None = it has no options.
        title: One line for the report.
        kinds: What it measures: `edits` and `generated` need `update`, `samples` needs `update_samples`. The edits of
            kind `generated` are `GeneratedEdits`.
        default_for: What `zoo evaluate` runs it on unless metrics are named -> its place in that report, low first:
            `edits`, `samples`, `generated`, `parts` (samples of faces with parts), `layouts` (edits that are
            segmentations alone). Empty = only when it is named.
        reads: What it reads of each edit or sample; without it the metric is not measured.
        headlines: Measure -> how it is shown among the headline figures.
    """

    Config: ClassVar[Any] = None
    title: str
    kinds: ClassVar[tuple[Kind, ...]] = ("edits",)
    default_for: ClassVar[Mapping[DefaultKind, int]] = MappingProxyType({})
    headlines: ClassVar[Mapping[str, Headline]] = MappingProxyType({})
    reads: ClassVar[tuple[MetricInput, ...]] = ("image",)

    def __init__(self, config: Any = None, facts: Any = None) -> None:
        self.config = self.Config() if config is None and self.Config is not None else config

    @abstractmethod
    def start(self, study: Study) -> None:
        """Prepare for a study: clear earlier batches, open networks.

        Raises:
            Unavailable: The metric cannot be computed in this study.
        """

    def update(self, edits: Edits) -> None:
        """Add a batch of edits."""
        raise NotImplementedError(f"{type(self).__name__} has no `update`, so it cannot measure edits")

    def update_samples(self, samples: Samples) -> None:
        """Add a batch of samples."""
        raise NotImplementedError(f"{type(self).__name__} has no `update_samples`, so it cannot measure samples")

    @abstractmethod
    def compute(self) -> list[Measure]:
        """Compute the measures over the batches of all processes."""
