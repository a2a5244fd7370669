"""Recurrent layers: Elman networks, LSTM and GRU, and their single steps.

The part of a layer that depends on the inputs alone is one matmul over all times; the loop over the times
does the rest.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import tabgrad as tg
import tabgrad.nn.functional as F
from tabgrad.nn import init
from tabgrad.nn.module import Module, unusual
from tabgrad.nn.parameter import Parameter, parameter_if
from tabgrad.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tabgrad.core.dtype import DType
    from tabgrad.tensor.types import DeviceLike

Tensor = tg.Tensor
State = tuple[Tensor, ...]
Step = Callable[[Tensor, State, Any], State]
"""(input's part of the gates, state, the layer's other weights) -> state; state[0] is the output."""


def elman(activation: Callable[[Tensor], Tensor]) -> Step:
    """Make the step h = activation(W_ih x + b_ih + W_hh h + b_hh)."""

    def step(gates: Tensor, state: State, weights: Mapping[str, Any]) -> State:
        return (activation(gates + F.linear(state[0], weights["weight_hh"], weights["bias_hh"])),)

    return step


def lstm(gates: Tensor, state: State, weights: Mapping[str, Any]) -> State:
    """One step of an LSTM (Hochreiter and Schmidhuber 1997); the gates are in the order i, f, g, o."""
    h, c = state
    parts = (gates + F.linear(h, weights["weight_hh"], weights["bias_hh"])).chunk(4, -1)
    i, f, o = (parts[k].sigmoid() for k in (0, 1, 3))
    c = f * c + i * parts[2].tanh()
    h = o * c.tanh()
    if weights.get("weight_hr") is not None:
        h = F.linear(h, weights["weight_hr"])
    return h, c


def gru(gates: Tensor, state: State, weights: Mapping[str, Any]) -> State:
    """One step of a GRU (Cho et al. 2014); the gates are in the order r, z, n."""
    (h,) = state
    from_input = gates.chunk(3, -1)
    from_state = F.linear(h, weights["weight_hh"], weights["bias_hh"]).chunk(3, -1)
    r = (from_input[0] + from_state[0]).sigmoid()
    z = (from_input[1] + from_state[1]).sigmoid()
    n = (from_input[2] + r * from_state[2]).tanh()
    return (n + z * (h - n),)


MODES: dict[str, tuple[int, int, Step]] = {
    "RNN_TANH": (1, 1, elman(tg.tanh)), "RNN_RELU": (1, 1, elman(tg.relu)), "LSTM": (4, 2, lstm),
    "GRU": (3, 1, gru),
}  # fmt: skip
"""The number of gates, the number of states and the step of each kind of layer."""


class RNNBase(Module):
    """The base of recurrent layers: weights by layer and direction, padding, dropout between layers.

    `mode` is "RNN_TANH", "RNN_RELU", "LSTM" or "GRU".
    """

    def __init__(
        self, mode: str, input_size: int, hidden_size: int, num_layers: int = 1, bias: bool = True,
        batch_first: bool = False, dropout: float = 0.0, bidirectional: bool = False,
        proj_size: int = 0, device: DeviceLike | None = None, dtype: DType | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        if mode not in MODES:
            raise ValueError(f"Unrecognized RNN mode: {mode}; expected one of {', '.join(MODES)}")
        self.mode = mode
        if not 0 <= dropout <= 1:
            raise ValueError(f"dropout should be a number in range [0, 1], got {dropout}")
        if hidden_size <= 0 or num_layers <= 0:
            raise ValueError(
                "hidden_size and num_layers must be greater than zero, got "
                f"{hidden_size} and {num_layers}"
            )
        if not 0 <= proj_size < hidden_size:
            raise ValueError(
                f"proj_size has to be smaller than hidden_size ({hidden_size}), got {proj_size}"
            )
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.bias = bias
        self.batch_first = batch_first
        self.dropout = float(dropout)
        self.bidirectional = bidirectional
        self.proj_size = proj_size
        for layer in range(num_layers):
            for suffix in self._suffixes(layer):
                for name, shape in self._shapes(layer).items():
                    new = parameter_if(True, shape, device, dtype)
                    self.register_parameter(name + suffix, new)
        self.reset_parameters()

    @property
    def gates(self) -> int:
        """The number of gates of a cell."""
        return MODES[self.mode][0]

    @property
    def states(self) -> int:
        """The number of states of a cell."""
        return MODES[self.mode][1]

    @property
    def _all_weights(self) -> list[list[str]]:
        """The names of the weights, in a list for each layer and direction."""
        return [
            [name + suffix for name in self._shapes(layer)]
            for layer in range(self.num_layers)
            for suffix in self._suffixes(layer)
        ]

    @property
    def all_weights(self) -> list[list[Parameter]]:
        """The weights, in a list for each layer and direction.

        >>> import tabgrad as tg
        >>> [w.shape[0] for w in tg.nn.GRU(2, 3, device="cpu").all_weights[0]]
        [9, 9, 9, 9]
        """
        return [[getattr(self, name) for name in names] for names in self._all_weights]

    @property
    def _flat_weights_names(self) -> list[str]:
        return [name for names in self._all_weights for name in names]

    @property
    def _flat_weights(self) -> list[Parameter]:
        return [getattr(self, name) for name in self._flat_weights_names]

    @property
    def _directions(self) -> int:
        return 2 if self.bidirectional else 1

    @property
    def _output_size(self) -> int:
        return self.proj_size or self.hidden_size

    def _suffixes(self, layer: int) -> list[str]:
        return [f"_l{layer}", f"_l{layer}_reverse"][: self._directions]

    def _shapes(self, layer: int) -> dict[str, tuple[int, ...]]:
        rows = self.gates * self.hidden_size
        columns = self._output_size * self._directions if layer else self.input_size
        shapes: dict[str, tuple[int, ...]] = {
            "weight_ih": (rows, columns), "weight_hh": (rows, self._output_size),
        }  # fmt: skip
        if self.bias:
            shapes |= {"bias_ih": (rows,), "bias_hh": (rows,)}
        if self.proj_size:
            shapes["weight_hr"] = (self.proj_size, self.hidden_size)
        return shapes

    def reset_parameters(self) -> None:
        """Draw new initial values, uniform in ±1/√hidden_size."""
        bound = 1 / math.sqrt(self.hidden_size)
        for p in self.parameters():
            init.uniform_(p, -bound, bound)

    def flatten_parameters(self) -> None:
        """Do nothing, because there is no layout to prepare."""

    def _run(self, x: Tensor, state: State, lengths: list[int] | None) -> tuple[Tensor, State]:
        """Run (T, N, input_size) through all layers; `state` has one (layers, N, size) for each part."""
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr")
        weights = [
            [
                {name: self._parameters.get(name + suffix) for name in names}
                for suffix in self._suffixes(layer)
            ]
            for layer in range(self.num_layers)
        ]
        return run(self.mode, x, state, weights, lengths, self.dropout if self.training else 0.0)

    def _start(self, given: Tensor | State | None, batch: int, like: Tensor) -> Any:
        layers = self.num_layers * self._directions
        sizes = (self._output_size, self.hidden_size)[: self.states]
        if given is None:
            where: dict[str, Any] = {"dtype": like.dtype, "device": like.device}
            return tuple(tg.zeros(layers, batch, size, **where) for size in sizes)
        parts = (given,) if isinstance(given, Tensor) else given
        for part, size in zip(parts, sizes, strict=True):
            if tuple(part.shape) != (layers, batch, size):
                raise RuntimeError(
                    f"{type(self).__name__}: expected hidden size {(layers, batch, size)}, "
                    f"got {tuple(part.shape)}"
                )
        return parts

    def forward(self, input: Any, hx: Tensor | State | None = None) -> Any:
        """Compute (outputs, final state) from (T, N, input_size), (N, T, input_size) with `batch_first`,
        (T, input_size), or a PackedSequence; `hx` is the initial state, zeros if None."""
        if isinstance(input, PackedSequence):
            return self._forward_packed(input, hx)
        if input.ndim not in (2, 3):
            raise ValueError(
                f"{type(self).__name__}: expected input to be 2D or 3D, got {input.ndim}D instead"
            )
        if input.shape[-1] != self.input_size:
            raise RuntimeError(
                f"input.size(-1) must be equal to input_size. Expected {self.input_size}, "
                f"got {input.shape[-1]}"
            )
        single = input.ndim == 2
        x = input.unsqueeze(1) if single else input.transpose(0, 1) if self.batch_first else input
        if single and hx is not None:
            parts = (hx,) if isinstance(hx, Tensor) else hx
            hx = tuple(h.unsqueeze(1) for h in parts)
        y, final = self._run(x, self._start(hx, x.shape[1], x), None)
        if single:
            y, final = y.squeeze(1), tuple(h.squeeze(1) for h in final)
        elif self.batch_first:
            y = y.transpose(0, 1)
        return y, (final if self.states == 2 else final[0])

    def _forward_packed(self, packed: PackedSequence, hx: Tensor | State | None) -> Any:
        lengths = packed.lengths()
        x, _ = pad_packed_sequence(packed._replace(sorted_indices=None, unsorted_indices=None))
        state = self._start(hx, len(lengths), x)
        order, back = packed.sorted_indices, packed.unsorted_indices
        if order is not None:
            state = tuple(h.index_select(1, order) for h in state)
        y, final = self._run(x, state, lengths)
        if back is not None:
            final = tuple(h.index_select(1, back) for h in final)
        out = pack_padded_sequence(y, lengths)._replace(sorted_indices=order, unsorted_indices=back)
        return out, (final if self.states == 2 else final[0])

    def extra_repr(self) -> str:
        """Describe the sizes, and options that differ from their defaults."""
        return f"{self.input_size}, {self.hidden_size}" + unusual(
            self, proj_size=0, num_layers=1, bias=True, batch_first=False, dropout=0,
            bidirectional=False,
        )  # fmt: skip


def run(
    mode: str, x: Tensor, state: State, layers: Sequence[Sequence[Mapping[str, Any]]],
    lengths: list[int] | None = None, dropout: float = 0.0,
) -> tuple[Tensor, State]:  # fmt: skip
    """Run (T, N, size) through layers, given as the weights of each direction of each.

    `state` has one (layers * directions, N, size) for each part; the result is (outputs, final state).
    """
    states, step = MODES[mode][1:]
    mask = _masks(lengths, x)
    finals: list[State] = []
    for directions in layers:
        outputs = []
        for direction, weights in enumerate(directions):
            start = tuple([part[len(finals)] for part in state])
            y, final = _sweep(step, x, start, weights, bool(direction), mask)
            outputs.append(y)
            finals.append(final)
        x = outputs[0] if len(outputs) == 1 else tg.cat(outputs, -1)
        if dropout and directions is not layers[-1]:
            x = F.dropout(x, dropout, True)
    return x, tuple(tg.stack([f[k] for f in finals]) for k in range(states))


def _masks(lengths: list[int] | None, x: Tensor) -> list[Tensor | None]:
    """Make a mask of the sequences that are still running for each time, None where all are."""
    times = x.shape[0]
    if lengths is None:
        return [None] * times
    masks: list[Tensor | None] = []
    for t in range(times):
        alive = [t < n for n in lengths]
        masks.append(None if all(alive) else tg.tensor(alive, device=x.device).unsqueeze(1))
    return masks


def _sweep(
    step: Step, x: Tensor, state: State, weights: Mapping[str, Any], reverse: bool,
    mask: list[Tensor | None],
) -> tuple[Tensor, State]:  # fmt: skip
    gates = F.linear(x, weights["weight_ih"], weights["bias_ih"])
    outputs: list[Any] = [None] * x.shape[0]
    times = range(x.shape[0])
    for t in reversed(times) if reverse else times:
        new = step(gates[t], state, weights)
        alive = mask[t]
        if alive is not None:
            new = tuple([tg.where(alive, n, s) for n, s in zip(new, state, strict=True)])
        state = new
        outputs[t] = state[0]
    return tg.stack(outputs), state


class RNN(RNNBase):
    """An Elman network of `num_layers` layers: h_t = tanh(W_ih x_t + b_ih + W_hh h_{t−1} + b_hh).

    Returns (outputs (T, N, directions · hidden_size), h_n (layers · directions, N, hidden_size)).
    """

    def __init__(
        self, input_size: int, hidden_size: int, num_layers: int = 1, nonlinearity: str = "tanh",
        bias: bool = True, batch_first: bool = False, dropout: float = 0.0,
        bidirectional: bool = False, device: DeviceLike | None = None, dtype: DType | None = None,
    ) -> None:  # fmt: skip
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(
                f"Unknown nonlinearity '{nonlinearity}'. Select from 'tanh' or 'relu'."
            )
        super().__init__(
            f"RNN_{nonlinearity.upper()}", input_size, hidden_size, num_layers, bias, batch_first,
            dropout, bidirectional, 0, device, dtype,
        )  # fmt: skip
        self.nonlinearity = nonlinearity


class LSTM(RNNBase):
    """A long short-term memory of `num_layers` layers; with `proj_size`, outputs are projected to it.

    Returns (outputs, (h_n, c_n)), with sizes as in RNN.
    """

    def __init__(
        self, input_size: int, hidden_size: int, num_layers: int = 1, bias: bool = True,
        batch_first: bool = False, dropout: float = 0.0, bidirectional: bool = False,
        proj_size: int = 0, device: DeviceLike | None = None, dtype: DType | None = None,
    ) -> None:  # fmt: skip
        super().__init__(
            "LSTM", input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional,
            proj_size, device, dtype,
        )  # fmt: skip


class GRU(RNNBase):
    """Gated recurrent units in `num_layers` layers; returns what RNN returns."""

    def __init__(
        self, input_size: int, hidden_size: int, num_layers: int = 1, bias: bool = True,
        batch_first: bool = False, dropout: float = 0.0, bidirectional: bool = False,
        device: DeviceLike | None = None, dtype: DType | None = None,
    ) -> None:  # fmt: skip
        super().__init__(
            "GRU", input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, 0,
            device, dtype,
        )  # fmt: skip


class RNNCellBase(Module):
    """The base of recurrent cells: weights for `num_chunks` gates. A cell says what its step is."""

    states = 1

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool, num_chunks: int,
        device: DeviceLike | None = None, dtype: DType | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.bias = bias
        rows = num_chunks * hidden_size
        for name, shape in (
            ("weight_ih", (rows, input_size)), ("weight_hh", (rows, hidden_size)),
            ("bias_ih", (rows,)), ("bias_hh", (rows,)),
        ):  # fmt: skip
            there = bias or name.startswith("weight")
            self.register_parameter(name, parameter_if(there, shape, device, dtype))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new initial values, uniform in ±1/√hidden_size."""
        bound = 1 / math.sqrt(self.hidden_size)
        for p in self.parameters():
            init.uniform_(p, -bound, bound)

    def _step(self) -> Step:
        raise NotImplementedError(f"{type(self).__name__} defines no step")

    def forward(self, input: Tensor, hx: Tensor | State | None = None) -> Any:
        """Compute the next state of (N, input_size) or (input_size); `hx` is zeros if None."""
        if input.ndim not in (1, 2):
            raise ValueError(
                f"{type(self).__name__}: expected input to be 1D or 2D, got {input.ndim}D instead"
            )
        if hx is None:
            shape = (*input.shape[:-1], self.hidden_size)
            before = (tg.zeros(shape, dtype=input.dtype, device=input.device),) * self.states
        else:
            before = (hx,) if isinstance(hx, Tensor) else hx
        gates = F.linear(input, self.weight_ih, self.bias_ih)
        state = self._step()(gates, before, self._parameters)
        return state if self.states == 2 else state[0]

    def extra_repr(self) -> str:
        """Describe the sizes."""
        text = f"{self.input_size}, {self.hidden_size}"
        return text if self.bias else text + ", bias=False"


class RNNCell(RNNCellBase):
    """One step of an Elman network."""

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, nonlinearity: str = "tanh",
        device: DeviceLike | None = None, dtype: DType | None = None,
    ) -> None:  # fmt: skip
        super().__init__(input_size, hidden_size, bias, 1, device, dtype)
        self.nonlinearity = nonlinearity

    def _step(self) -> Step:
        return elman(tg.tanh if self.nonlinearity == "tanh" else tg.relu)

    def extra_repr(self) -> str:
        """Describe the sizes."""
        text = super().extra_repr()
        return text if self.nonlinearity == "tanh" else f"{text}, nonlinearity={self.nonlinearity}"


class LSTMCell(RNNCellBase):
    """One step of an LSTM: returns (h, c)."""

    states = 2

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True,
        device: DeviceLike | None = None, dtype: DType | None = None,
    ) -> None:  # fmt: skip
        super().__init__(input_size, hidden_size, bias, 4, device, dtype)

    def _step(self) -> Step:
        return lstm


class GRUCell(RNNCellBase):
    """One step of a GRU."""

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True,
        device: DeviceLike | None = None, dtype: DType | None = None,
    ) -> None:  # fmt: skip
        super().__init__(input_size, hidden_size, bias, 3, device, dtype)

    def _step(self) -> Step:
        return gru
