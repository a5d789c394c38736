"""CUDA without a GPU: tensors with a shape, a dtype and a device, but no values.

They reveal errors that a CPU hides: tensors of two devices in one operator, a generator of another device, and code
that makes the host wait for the device. They do not show rounding, autocast, speed or memory.

torch's FakeTensorMode cannot be used: with a CUDA build of torch and no GPU, its backward pass fails in the driver.
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

CUDA_SEED_MARK = 0x6AFD  # the first 16 bits of the seed of a generator on CUDA
CUDA, META = torch.device("cuda", 0), torch.device("meta")
aten = torch.ops.aten
INDEX_OPERATORS = {aten.index, aten.index_put, aten.index_put_, aten._index_put_impl_, aten._unsafe_index}
"""Operators whose second argument is a list of indices, which may come from the CPU."""
READING_OPERATORS = {
    aten._local_scalar_dense,
    aten.equal,
    aten.is_nonzero,
    aten.nonzero,
    aten.masked_select,
    aten._unique2,
}
"""Operators that make the host wait: they return a value, or a shape that depends on values."""


class HostWaitError(AssertionError):
    """The host waits for the device where waiting is forbidden."""


class FakeCudaTensor(Tensor):
    """A tensor on CUDA without values.

    Python sees a tensor on CUDA; the tensor below, which autograd uses, is on meta, so that no driver is needed.
    """

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]
    device = property(lambda self: CUDA)
    is_cuda = property(lambda self: True)
    is_cpu = is_meta = property(lambda self: False)

    @staticmethod
    def __new__(cls, value: Tensor) -> FakeCudaTensor:
        """Make a view of `value`, a tensor on meta."""
        return Tensor._make_subclass(cls, value)

    def __repr__(self, *, tensor_contents: Any = None) -> str:  # type: ignore[override]
        return f"FakeCudaTensor{tuple(self.shape)}"

    def tolist(self) -> Any:
        """Return the values as `Tensor.tolist` does."""
        return self.cpu().tolist()

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # type: ignore[override]
        raise RuntimeError(f"{func}: outside of `simulate_cuda`")


class FakeCudaGenerator(torch.Generator):
    """A generator that can pretend to be on CUDA.

    torch passes generators to operators without their class, so the device is encoded in the first bits of the seed.
    """

    device_type: str

    def __new__(cls, device: Any = "cpu") -> FakeCudaGenerator:
        """Make a generator that pretends to be on `device`."""
        generator = super().__new__(cls, "cpu")  # type: ignore[call-arg]
        generator.device_type = torch.device(device).type
        return generator.manual_seed(0) if generator.device_type == "cuda" else generator

    def manual_seed(self, seed: int) -> FakeCudaGenerator:
        """Set the seed, as torch does on the CPU; numbers drawn on CUDA have no values."""
        super().manual_seed(CUDA_SEED_MARK << 48 | seed % 2**48 if self.device_type == "cuda" else seed)
        return self


class FakeCudaMode(TorchDispatchMode):
    """Runs operators with a tensor on CUDA on meta instead, and all others unchanged.

    Attributes:
        waits: The reasons for which the host waited.
        forbids_waits: Whether waiting is an error. Otherwise the values that the host reads are zeros.
    """

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[str] = []
        self.forbids_waits = False

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        options = dict(kwargs or {})
        tensors = [leaf for leaf in tree_leaves((args, options)) if isinstance(leaf, Tensor)]
        is_on_cuda = any(isinstance(tensor, FakeCudaTensor) for tensor in tensors)
        device = options.get("device")
        if device == META:
            device = CUDA  # torch makes tensors on meta beside a fake CUDA tensor
        if options.get("generator") is not None:
            options["generator"] = self.check_generator(func, options["generator"], device or tensors[0].device)
        if not is_on_cuda and (device is None or device.type != "cuda"):
            return func(*args, **options)
        operator, first = func.overloadpacket, args[0] if args else None
        if is_on_cuda and device is not None and device.type == "cpu":
            self.wait(f"{func} copies to the host")
            return torch.zeros(tensors[0].shape, dtype=options.get("dtype") or tensors[0].dtype)
        if operator in READING_OPERATORS:
            self.wait(f"{func} returns a value of the device to the host")
            return make_unread_value(operator, tensors[0])
        if operator is aten.copy_ and not isinstance(first, FakeCudaTensor):
            self.wait(f"{func} copies to the host")
            return first
        copies = operator in (aten._to_copy, aten.copy_)
        if copies:
            source = args[0] if operator is aten._to_copy else args[1]
            if not isinstance(source, FakeCudaTensor) and not (options.get("non_blocking") or True in args[2:]):
                self.wait(f"{func} copies from the host, non_blocking=False")
        elif operator in INDEX_OPERATORS:
            self.check_index(func, first, [index for index in args[1] if index is not None])
            args = (first, [one for index in args[1] for one in replace_mask(index)], *args[2:])
        elif is_on_cuda and any(tensor.dim() and tensor.is_cpu for tensor in tensors):
            shapes = ", ".join(f"{tensor.device.type} {tuple(tensor.shape)}" for tensor in tensors)
            raise AssertionError(f"{func}: tensors of two devices: {shapes}")
        options |= {} if device is None else {"device": META}
        return self.run_on_meta(func, args, options, moves_all=copies or operator in INDEX_OPERATORS)

    def wait(self, reason: str) -> None:
        """Record that the host waits for the device.

        Raises:
            HostWaitError: It must not wait.
        """
        self.waits.append(reason)
        if self.forbids_waits:
            raise HostWaitError(f"{reason}: the host waits for the device, in a step of training")

    def check_generator(self, func: Any, generator: torch.Generator, device: torch.device) -> torch.Generator | None:
        """Return the generator to use on the real device.

        Raises:
            AssertionError: The generator is on another device than the tensor.
        """
        claimed = "cuda" if generator.initial_seed() >> 48 == CUDA_SEED_MARK else "cpu"
        if claimed != device.type:
            raise AssertionError(f"{func}: a generator on {claimed} for a tensor on {device.type}")
        return generator if claimed == "cpu" else None

    def check_index(self, func: Any, rows: Any, indices: Sequence[Tensor]) -> None:
        """Check an index: whether torch accepts it, and whether it makes the host wait."""
        if not isinstance(rows, FakeCudaTensor):
            raise AssertionError(f"{func}: rows on the CPU, an index on CUDA")
        if any(index.dtype in (torch.bool, torch.uint8) for index in indices):
            self.wait(f"{func}: the number of rows of a boolean index depends on values")
        if any(not isinstance(index, FakeCudaTensor) for index in indices):
            self.wait(f"{func}: an index from the host")

    def run_on_meta(self, func: Any, args: Any, kwargs: Any, moves_all: bool) -> Any:
        """Run the operator on meta. Its result is on CUDA; in place, it changes the tensor that was given.

        Args:
            func: The operator.
            args: Its arguments.
            kwargs: Its keyword arguments.
            moves_all: Move every CPU tensor to meta; without, 0-d ones stay.
        """
        originals: dict[int, FakeCudaTensor] = {}

        def unwrap(value: Any) -> Any:
            if isinstance(value, FakeCudaTensor):
                with torch._C._DisableTorchDispatch():
                    plain = Tensor._make_subclass(Tensor, value)
                originals[id(plain)] = value
                return plain
            moves = isinstance(value, Tensor) and value.device != META and (moves_all or value.dim() > 0)
            return value.to(META) if moves else value

        def wrap(value: Any) -> Any:
            if not isinstance(value, Tensor):
                return value
            return originals[id(value)] if id(value) in originals else FakeCudaTensor(value)

        plain_args, plain_kwargs = tree_map(unwrap, (args, kwargs))
        return tree_map(wrap, func(*plain_args, **plain_kwargs))


def is_same_kind(one: Tensor, other: Tensor) -> bool:
    """Return whether one tensor can become a view of the other's memory."""
    return isinstance(one, FakeCudaTensor) == isinstance(other, FakeCudaTensor)


def replace_mask(index: Tensor | None) -> list[Tensor | None]:
    """Return an index; a mask becomes the index of one row, because the number of rows that it selects is unknown."""
    if index is None or index.dtype not in (torch.bool, torch.uint8):
        return [index]
    return [FakeCudaTensor(torch.zeros(1, dtype=torch.int64, device=META)) for _ in range(index.dim())]


def make_unread_value(operator: Any, tensor: Tensor) -> Any:
    """Return zeros in place of the values that the host reads."""
    if operator is aten._local_scalar_dense:
        return torch.zeros((), dtype=tensor.dtype).item()
    if operator is aten.nonzero:  # one index
        return FakeCudaTensor(torch.zeros((1, tensor.dim()), dtype=torch.int64, device=META))
    if operator in (aten.equal, aten.is_nonzero):
        return False
    one = FakeCudaTensor(torch.zeros(1, dtype=tensor.dtype, device=META))
    if operator is aten.masked_select:
        return one
    which, count = (
        FakeCudaTensor(torch.zeros(shape, dtype=torch.int64, device=META)) for shape in (tensor.shape, (1,))
    )
    return one, which, count  # of `unique`


def find_obstacle() -> str | None:
    """Return why this torch cannot do what `simulate_cuda` needs; None if it can.

    `simulate_cuda` relies on internals of torch, which may change.
    """
    try:
        with simulate_cuda():
            layer = nn.Linear(2, 2).to(CUDA)
            layer(torch.ones(1, 2, device=CUDA)).sum().backward()
    except (AttributeError, NotImplementedError, RuntimeError, TypeError) as error:
        return f"torch {torch.__version__}: {error}"
    return None


@contextmanager
def simulate_cuda() -> Iterator[FakeCudaMode]:
    """Make `cuda` a device whose tensors have no values, inside this context. `meta` is one too.

    Real GPUs are not used.
    """
    import torch._dynamo  # before torch.Generator is replaced, which it names in annotations

    with (
        mock.patch.object(torch, "Generator", FakeCudaGenerator),
        mock.patch.object(torch.cuda, "_lazy_init", lambda: None),
        mock.patch.object(torch.cuda, "synchronize", lambda *_: None),
        # otherwise a module would keep its parameter object and replace only the parameter's data
        mock.patch.object(torch, "_has_compatible_shallow_copy_type", is_same_kind),
    ):
        before = torch._C._only_lift_cpu_tensors()
        torch._C._set_only_lift_cpu_tensors(True)  # torch.tensor(..., device="cuda") comes by here
        torch._C._ensureCUDADeviceGuardSet()
        try:
            with FakeCudaMode() as mode:
                yield mode
        finally:
            torch._C._set_only_lift_cpu_tensors(before)
