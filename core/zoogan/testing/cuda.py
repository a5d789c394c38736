"""CUDA without a GPU: tensors with a shape, a dtype and a device, but no values.

They reveal what a CPU forgives: tensors of two devices in one operator, a generator of another device, and a host that
waits for the device, to read from it or to copy to it. They do not reveal rounding, autocast, speed or memory.

torch's FakeTensorMode is not used: on a machine whose torch is built for CUDA, but which has no GPU, the backward pass
of its tensors asks the driver for streams.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

CLAIM = 0x6AFD  # the first 16 bits of the seed of a generator on CUDA
CUDA, META = torch.device("cuda", 0), torch.device("meta")
aten = torch.ops.aten
PLACES = {aten.index, aten.index_put, aten.index_put_, aten._index_put_impl_, aten._unsafe_index}
"""Operators whose second argument is a list of indices, which may come from the CPU."""
READS = {aten._local_scalar_dense, aten.equal, aten.is_nonzero, aten.nonzero, aten.masked_select, aten._unique2}
"""Operators whose outcome the host must know: a value, or a shape that depends on values."""


class HostWaits(AssertionError):
    """The host waits for the device where it must not."""


class Absent(Tensor):
    """A tensor on CUDA without values.

    To Python it is on CUDA. Below, where autograd would ask a driver, it is on meta.
    """

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]
    device = property(lambda self: CUDA)
    is_cuda = property(lambda self: True)
    is_cpu = is_meta = property(lambda self: False)

    @staticmethod
    def __new__(cls, value: Tensor) -> Absent:
        """value: on meta, of whose memory it is a view."""
        return Tensor._make_subclass(cls, value)

    def __repr__(self, *, tensor_contents: Any = None) -> str:  # type: ignore[override]
        return f"Absent{tuple(self.shape)}"

    def tolist(self) -> Any:
        """Return the values as `Tensor.tolist` does."""
        return self.cpu().tolist()

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # type: ignore[override]
        raise RuntimeError(f"{func}: outside of `absent_cuda`")


class AbsentGenerator(torch.Generator):
    """A generator that may claim to be on CUDA.

    torch hands operators the generator without its class, so the claim is in the seed, whose first bits no other seed
    is likely to have.
    """

    claimed: str

    def __new__(cls, device: Any = "cpu") -> AbsentGenerator:
        made = super().__new__(cls, "cpu")  # type: ignore[call-arg]
        made.claimed = torch.device(device).type
        return made.manual_seed(0) if made.claimed == "cuda" else made

    def manual_seed(self, seed: int) -> AbsentGenerator:
        """Set the seed, as torch does on the CPU; what is drawn on CUDA has no values."""
        super().manual_seed(CLAIM << 48 | seed % 2**48 if self.claimed == "cuda" else seed)
        return self


class AbsentCuda(TorchDispatchMode):
    """Runs operators with a tensor on CUDA on meta instead, and all others unchanged.

    Attributes:
        waits: What the host waited for.
        hurried: Whether waiting is an error. Otherwise the values that the host reads are zeros.
    """

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[str] = []
        self.hurried = False

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        told = dict(kwargs or {})
        tensors = [leaf for leaf in tree_leaves((args, told)) if isinstance(leaf, Tensor)]
        absent = any(isinstance(tensor, Absent) for tensor in tensors)
        device = told.get("device")
        if device == META:
            device = CUDA  # what torch makes below Python, beside a tensor of ours
        if told.get("generator") is not None:
            told["generator"] = self.checked(func, told["generator"], device or tensors[0].device)
        if not absent and (device is None or device.type != "cuda"):
            return func(*args, **told)
        kind, first = func.overloadpacket, args[0] if args else None
        if absent and device is not None and device.type == "cpu":
            self.wait(f"{func} copies to the host")
            return torch.zeros(tensors[0].shape, dtype=told.get("dtype") or tensors[0].dtype)
        if kind in READS:
            self.wait(f"{func} tells the host what the device computed")
            return unread(kind, tensors[0])
        if kind is aten.copy_ and not isinstance(first, Absent):
            self.wait(f"{func} copies to the host")
            return first
        copies = kind in (aten._to_copy, aten.copy_)
        if copies:
            source = args[0] if kind is aten._to_copy else args[1]
            if not isinstance(source, Absent) and not (told.get("non_blocking") or True in args[2:]):
                self.wait(f"{func} copies from the host, non_blocking=False")
        elif kind in PLACES:
            self.check_places(func, first, [place for place in args[1] if place is not None])
            args = (first, [one for place in args[1] for one in unmasked(place)], *args[2:])
        elif absent and any(tensor.dim() and tensor.is_cpu for tensor in tensors):
            each = ", ".join(f"{tensor.device.type} {tuple(tensor.shape)}" for tensor in tensors)
            raise AssertionError(f"{func}: tensors of two devices: {each}")
        return self.on_meta(func, args, told | ({} if device is None else {"device": META}), copies or kind in PLACES)

    def wait(self, what: str) -> None:
        """Record that the host waits for the device.

        Raises:
            HostWaits: It must not wait.
        """
        self.waits.append(what)
        if self.hurried:
            raise HostWaits(f"{what}: the host waits for the device, in a step of training")

    def checked(self, func: Any, generator: torch.Generator, device: torch.device) -> torch.Generator | None:
        """Return the generator to use on the real device.

        Raises:
            AssertionError: The generator is on another device than the tensor.
        """
        own = "cuda" if generator.initial_seed() >> 48 == CLAIM else "cpu"
        if own != device.type:
            raise AssertionError(f"{func}: a generator on {own} for a tensor on {device.type}")
        return generator if own == "cpu" else None

    def check_places(self, func: Any, rows: Any, places: Sequence[Tensor]) -> None:
        """Check an index: whether torch accepts it, and whether it makes the host wait."""
        if not isinstance(rows, Absent):
            raise AssertionError(f"{func}: rows on the CPU, an index on CUDA")
        if any(place.dtype in (torch.bool, torch.uint8) for place in places):
            self.wait(f"{func}: a boolean index has as many rows as values say")
        if any(not isinstance(place, Absent) for place in places):
            self.wait(f"{func}: an index from the host")

    def on_meta(self, func: Any, args: Any, kwargs: Any, sent: bool) -> Any:
        """Run the operator on meta. Its result is on CUDA, and what it changes in place is the tensor that was given."""
        given: dict[int, Absent] = {}

        def bare(value: Any) -> Any:
            if isinstance(value, Absent):
                with torch._C._DisableTorchDispatch():
                    plain = Tensor._make_subclass(Tensor, value)
                given[id(plain)] = value
                return plain
            away = isinstance(value, Tensor) and value.device != META and (sent or value.dim() > 0)
            return value.to(META) if away else value

        def dressed(value: Any) -> Any:
            if not isinstance(value, Tensor):
                return value
            return given[id(value)] if id(value) in given else Absent(value)

        called = tree_map(bare, (args, kwargs))
        return tree_map(dressed, func(*called[0], **called[1]))


def same_kind(one: Tensor, other: Tensor) -> bool:
    """Return whether one tensor can become a view of the other's memory."""
    return isinstance(one, Absent) == isinstance(other, Absent)


def unmasked(place: Tensor | None) -> list[Tensor | None]:
    """Return an index; a mask becomes the index of one place, because the number of places that it selects is unknown."""
    if place is None or place.dtype not in (torch.bool, torch.uint8):
        return [place]
    return [Absent(torch.zeros(1, dtype=torch.int64, device=META)) for _ in range(place.dim())]


def unread(kind: Any, of: Tensor) -> Any:
    """Return what the host reads where there are no values."""
    if kind is aten._local_scalar_dense:
        return torch.zeros((), dtype=of.dtype).item()
    if kind is aten.nonzero:  # one place
        return Absent(torch.zeros((1, of.dim()), dtype=torch.int64, device=META))
    if kind in (aten.equal, aten.is_nonzero):
        return False
    one = Absent(torch.zeros(1, dtype=of.dtype, device=META))
    if kind is aten.masked_select:
        return one
    which, count = (Absent(torch.zeros(shape, dtype=torch.int64, device=META)) for shape in (of.shape, (1,)))
    return one, which, count  # of `unique`


def why_not() -> str | None:
    """Return why this torch cannot do what `simulate_cuda` needs; None if it can.

    `simulate_cuda` relies on internals of torch, which may change.
    """
    try:
        with absent_cuda():
            layer = nn.Linear(2, 2).to(CUDA)
            layer(torch.ones(1, 2, device=CUDA)).sum().backward()
    except (AttributeError, NotImplementedError, RuntimeError, TypeError) as error:
        return f"torch {torch.__version__}: {error}"
    return None


@contextmanager
def absent_cuda() -> Iterator[AbsentCuda]:
    """Make `cuda`, inside this context, a device whose tensors have no values. `meta` is one too. Real GPUs are untouched."""
    import torch._dynamo  # before torch.Generator is replaced, which it names in annotations

    with (
        mock.patch.object(torch, "Generator", AbsentGenerator),
        mock.patch.object(torch.cuda, "_lazy_init", lambda: None),
        mock.patch.object(torch.cuda, "synchronize", lambda *_: None),
        # else a module's parameter would be kept, and only what it holds be replaced
        mock.patch.object(torch, "_has_compatible_shallow_copy_type", same_kind),
    ):
        before = torch._C._only_lift_cpu_tensors()
        torch._C._set_only_lift_cpu_tensors(True)  # torch.tensor(..., device="cuda") comes by here
        torch._C._ensureCUDADeviceGuardSet()
        try:
            with AbsentCuda() as mode:
                yield mode
        finally:
            torch._C._set_only_lift_cpu_tensors(before)
