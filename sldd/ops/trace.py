"""Traces: what a computation asked of the library, as flat programs that do it again without autograd.

Autograd's bookkeeping and the Python of layers cost as much as small tensors do. Neither is needed twice: with the same
shapes the same operations follow. They are written down below autograd, where derivatives are operations like others,
so that a program gives the same bits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakTensorKeyDictionary

aten = torch.ops.aten

_BUILTINS: dict[Any, Callable[..., Any]] = {
    aten.add.Tensor: torch.add,
    aten.mm.default: torch.mm,
    aten.mul.Tensor: torch.mul,
    aten.sub.Tensor: torch.sub,
    aten.t.default: torch.t,
    aten.view.default: torch.Tensor.view,
}
"""Functions that do the same as an operation and are called in a third of the time."""

_OBSTACLES = {
    torch.Tag.data_dependent_output,
    torch.Tag.dynamic_output_shape,
    torch.Tag.inplace_view,
    torch.Tag.nondeterministic_seeded,
}
"""What follows such an operation may be something else the next time, or another tensor than its number says."""


@dataclass(frozen=True)
class _Slot:
    """A tensor of the computation, by its number."""

    number: int


@dataclass
class _Call:
    """An operation, with slots for tensors; ``used`` and ``made`` are their numbers."""

    operation: Any
    arguments: Sequence[Any]
    options: Mapping[str, Any]
    used: list[int]
    made: list[int | None]


Program = Callable[[list[torch.Tensor]], list[torch.Tensor]]
"""Takes the inputs and empties the list of them, so that each is freed after its last use; without autograd."""


class Recorder(TorchDispatchMode):
    """Writes down the operations called inside it.

    Attributes:
        obstacle: why the computation could not be done again by a program; empty where it could.
    """

    def __init__(self) -> None:
        super().__init__()
        self.obstacle = ""
        self._number = WeakTensorKeyDictionary()
        self._constants: dict[int, torch.Tensor] = {}
        self._transposed: dict[int, int] = {}
        self._calls: list[_Call] = []
        self._count = 0

    def number(self, tensors: Iterable[torch.Tensor]) -> list[int]:
        """Numbers of tensors; of those that are new, new ones."""
        return [self._find(tensor, constant=False) for tensor in tensors]

    def cut(self) -> int:
        """End a part; returns how many operations were written down so far. Parts may follow one another or not."""
        self._transposed = {}  # what one part made is not there in all others
        return len(self._calls)

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        options = kwargs or {}
        found = func(*args, **options)
        if not self.obstacle and any(tag in _OBSTACLES for tag in func.tags):
            self.obstacle = f"{func} depends on values, or changes a shape in place"
        if func is aten.detach.default:  # the same tensor as far as programs know
            self._number[found] = self._find(args[0])
            return found
        if func is aten.t.default:
            of = self._find(args[0])
            if of in self._transposed:  # transposed before, or itself a transpose
                self._number[found] = self._transposed[of]
                return found
            (result,) = self.number([found])
            self._transposed |= {of: result, result: of}
        if func is aten.lift_fresh.default:  # a constant that may be written to
            func, args = aten.clone.default, (args[0].clone(),)
        used: list[int] = []
        arguments, chosen = self._with_slots(args, used), self._with_slots(options, used)
        outputs = found if isinstance(found, (list, tuple)) else [found] if func._schema.returns else []
        made = [self._find(value, constant=False) if isinstance(value, torch.Tensor) else None for value in outputs]
        self._calls.append(_Call(func, arguments, chosen, used, made))
        return found

    def program(self, inputs: Sequence[int], outputs: Sequence[int], part: slice = slice(None)) -> Program:
        """The operations of a part that ``outputs`` need, as a function of ``inputs`` and constants.

        Raises:
            LookupError: it needs a tensor that is neither an input nor a constant nor made in this part.
        """
        return _compiled(_needed(self._calls[part], outputs), inputs, outputs, self._constants)

    def needs(self, part: slice, outputs: Sequence[int]) -> set[int]:
        """Tensors from before a part that its outputs need, constants left out."""
        calls = _needed(self._calls[part], outputs)
        made = {number for call in calls for number in call.made}
        return {number for call in calls for number in call.used}.union(outputs) - made - set(self._constants)

    def _find(self, tensor: torch.Tensor, *, constant: bool = True) -> int:
        """The number of a tensor; one that nothing made is a constant."""
        number: int | None = self._number.get(tensor)
        if number is None:
            number = self._count
            self._number[tensor] = number
            self._count += 1
            if constant:
                self._constants[number] = tensor
        return number

    def _with_slots(self, value: Any, used: list[int]) -> Any:
        if isinstance(value, torch.Tensor):
            used.append(self._find(value))
            return _Slot(used[-1])
        if isinstance(value, (list, tuple)):
            return [self._with_slots(item, used) for item in value]
        if isinstance(value, dict):
            return {name: self._with_slots(item, used) for name, item in value.items()}
        return value


def _needed(calls: Sequence[_Call], outputs: Sequence[int]) -> list[_Call]:
    """Those whose results are used, and those that write into a tensor, in order."""
    wanted, kept = set(outputs), []
    for call in reversed(calls):
        if call.operation._schema.is_mutable or wanted.intersection(call.made):
            wanted.update(call.used)
            kept.append(call)
    return kept[::-1]


def _compiled(
    calls: Sequence[_Call], inputs: Sequence[int], outputs: Sequence[int], constants: Mapping[int, torch.Tensor]
) -> Program:
    """The calls as generated Python code, the quickest way to make one after the other.

    Tensor number 7 is the variable ``t7``; operations, and arguments that are no literals, are ``c0``, ``c1`` ... For
    ``relu(x @ w)``:

        def program(inputs):
            t0, t1, = inputs
            inputs.clear()
            t2 = c0(t0, t1)
            del t0, t1
            t3 = c1(t2)
            del t2
            return [t3]
    """
    made = {number for call in calls for number in call.made} | set(inputs)
    used = {number for call in calls for number in call.used} | set(outputs)
    if missing := used - made - set(constants):
        raise LookupError(f"tensors {sorted(missing)} are not known")
    names: dict[str, Any] = {f"t{number}": constants[number] for number in used - made}
    last = {number: index for index, call in enumerate(calls) for number in [*call.used, *call.made]}

    def written(value: Any) -> str:
        """A value as code; what has no literal gets a name."""
        if isinstance(value, _Slot):
            return f"t{value.number}"
        if isinstance(value, (list, tuple)):
            return f"[{', '.join(map(written, value))}]"
        if value is None or isinstance(value, (bool, int)):
            return repr(value)
        name = f"c{len(names)}"
        names[name] = value
        return name

    lines = [f"    {', '.join(f't{number}' for number in inputs)}, = inputs", "    inputs.clear()"]
    lines += [f"    del t{number}" for number in inputs if number not in used]
    for index, call in enumerate(calls):
        lines.append(f"    {_statement(call, written)}")
        done = {number for number in [*call.used, *call.made] if number is not None and last[number] == index}
        freed = sorted(done.intersection(made).difference(outputs))
        if freed:
            lines.append(f"    del {', '.join(f't{number}' for number in freed)}")
    lines.append(f"    return [{', '.join(f't{number}' for number in outputs)}]")
    exec("\n".join(["def program(inputs):", *lines]), names)
    program: Program = torch.no_grad()(names["program"])
    return program


def _statement(call: _Call, written: Callable[[Any], str]) -> str:
    """A call as code: ``t2 = c0(t0, t1)``, or ``t2, _, = ...`` where the operation returns several values or a list."""
    function = written(_BUILTINS.get(call.operation, call.operation._op))
    given = [*map(written, call.arguments), *(f"{name}={written(v)}" for name, v in call.options.items())]
    code = f"{function}({', '.join(given)})"
    if not call.made:
        return code
    returns = call.operation._schema.returns
    one_tensor = len(call.made) == 1 and len(returns) == 1 and str(returns[0].type) == "Tensor"
    results = ", ".join("_" if number is None else f"t{number}" for number in call.made)
    return f"{results} = {code}" if one_tensor else f"{results}, = {code}"
