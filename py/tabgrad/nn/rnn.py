"""Recurrent layers: Elman networks, LSTM and GRU.

The part of a layer that depends on the inputs alone is one matmul over all times; the loop over the times
does the rest.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import tabgrad as tg
import tabgrad.nn.functional as F
from tabgrad.core.promotion import single
from tabgrad.core.trace import MODE, using
from tabgrad.nn import init
from tabgrad.nn.functional.recurrent import LSTMSweep, suits
from tabgrad.nn.module import Module, unusual
from tabgrad.nn.parameter import Parameter, parameter_if
from tabgrad.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tabgrad.core.dtype import DType
    from tabgrad.tensor.types import DeviceLike

Tensor = tg.Tensor
State = tuple[Tensor, ...]
Sizes = Tensor | Sequence[int]
"""The batch sizes of packed sequences; the layers give numbers, which no device need be asked for."""
Step = Callable[[Tensor, State, Any], State]
"""(input's part of the gates, state, the layer's other weights) -> state; state[0] is the output."""


def _from_state(h: Tensor, weights: Mapping[str, Any]) -> Tensor:
    """Return the state's part of the gates; a sweep over the times has turned the weight once for all."""
    turned = weights.get("turned")
    if turned is None:
        return F.linear(h, weights["weight_hh"], weights["bias_hh"])
    product, bias = h @ turned, weights["bias_hh"]
    return product if bias is None else product + bias


def elman(activation: Callable[[Tensor], Tensor]) -> Step:
    """Make the step h = activation(W_ih x + b_ih + W_hh h + b_hh)."""

    def step(gates: Tensor, state: State, weights: Mapping[str, Any]) -> State:
        return (activation(gates + _from_state(state[0], weights)),)

    return step


def lstm(gates: Tensor, state: State, weights: Mapping[str, Any]) -> State:
    """One step of an LSTM (Hochreiter and Schmidhuber 1997); the gates are in the order i, f, g, o."""
    h, c = state
    parts = (gates + _from_state(h, weights)).chunk(4, -1)
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
    from_state = _from_state(h, weights).chunk(3, -1)
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
                {name: self._weight(name + suffix) for name in names}
                for suffix in self._suffixes(layer)
            ]
            for layer in range(self.num_layers)
        ]
        return run(self.mode, x, state, weights, lengths, self.dropout if self.training else 0.0)

    def _weight(self, name: str) -> Any:
        """Return a weight, which a wrapper may have made a plain tensor or a property."""
        return self._parameters[name] if name in self._parameters else getattr(self, name, None)

    def _start(self, given: Tensor | State | None, batch: int, like: Tensor) -> Any:
        """Return the initial state for (T, N, input_size), zeros if none is given."""
        if given is not None:
            return (given,) if isinstance(given, Tensor) else tuple(given)
        layers = self.num_layers * self._directions
        sizes = (self._output_size, self.hidden_size)[: self.states]
        where: dict[str, Any] = {"dtype": like.dtype, "device": like.device}
        return tuple(tg.zeros(layers, batch, size, **where) for size in sizes)

    def check_input(self, input: Tensor, batch_sizes: Sizes | None) -> None:
        """Raise RuntimeError if the forward pass can't take `input`."""
        wanted = 3 if batch_sizes is None else 2
        if input.ndim != wanted:
            raise RuntimeError(f"input must have {wanted} dimensions, got {input.ndim}")
        if input.shape[-1] != self.input_size:
            raise RuntimeError(
                f"input.size(-1) must be equal to input_size. Expected {self.input_size}, "
                f"got {input.shape[-1]}"
            )

    def get_expected_hidden_size(
        self, input: Tensor, batch_sizes: Sizes | None
    ) -> tuple[int, int, int]:
        """Return the shape of the hidden state that belongs to `input`."""
        if batch_sizes is not None:
            batch = int(batch_sizes[0])
        else:
            batch = input.shape[0] if self.batch_first else input.shape[1]
        return self.num_layers * self._directions, batch, self._output_size

    def check_hidden_size(
        self, hx: Tensor, expected_hidden_size: tuple[int, int, int],
        msg: str = "Expected hidden size {}, got {}",
    ) -> None:  # fmt: skip
        """Raise RuntimeError if `hx` has another shape."""
        if tuple(hx.shape) != tuple(expected_hidden_size):
            raise RuntimeError(msg.format(expected_hidden_size, list(hx.shape)))

    def check_forward_args(self, input: Tensor, hidden: Any, batch_sizes: Sizes | None) -> None:
        """Raise RuntimeError if `input` or the initial state has a wrong shape; a subclass may replace it."""
        self.check_input(input, batch_sizes)
        self.check_hidden_size(hidden, self.get_expected_hidden_size(input, batch_sizes))

    def permute_hidden(self, hx: Any, permutation: Tensor | None) -> Any:
        """Put the sequences of a state in the order of `permutation`."""
        return hx if permutation is None else hx.index_select(1, permutation)

    def _shown(self, state: State) -> Any:
        """Return a state as users see it: a pair for an LSTM, one tensor for the others."""
        return state if self.states == 2 else state[0]

    def forward(self, input: Any, hx: Tensor | State | None = None) -> Any:
        """Compute (outputs, final state) from (T, N, input_size), (N, T, input_size) with `batch_first`,
        (T, input_size), or a PackedSequence; `hx` is the initial state, zeros if None."""
        if isinstance(input, PackedSequence):
            return self._forward_packed(input, hx)
        if input.ndim not in (2, 3):
            raise ValueError(
                f"{type(self).__name__}: expected input to be 2D or 3D, got {input.ndim}D instead"
            )
        single = input.ndim == 2
        given = input.unsqueeze(0 if self.batch_first else 1) if single else input
        x = given.transpose(0, 1) if self.batch_first else given
        if single and hx is not None:
            parts = (hx,) if isinstance(hx, Tensor) else hx
            hx = tuple(h.unsqueeze(1) for h in parts)
        state = self._start(hx, x.shape[1], x)
        self.check_forward_args(given, self._shown(state), None)
        y, final = self._run(x, state, None)
        if single:
            y, final = y.squeeze(1), tuple(h.squeeze(1) for h in final)
        elif self.batch_first:
            y = y.transpose(0, 1)
        return y, self._shown(final)

    def _forward_packed(self, packed: PackedSequence, hx: Tensor | State | None) -> Any:
        lengths = packed.lengths()
        x, _ = pad_packed_sequence(packed._replace(sorted_indices=None, unsorted_indices=None))
        state = self._start(hx, len(lengths), x)
        order, back = packed.sorted_indices, packed.unsorted_indices
        if hx is not None:
            permuted = self.permute_hidden(self._shown(state), order)
            state = permuted if self.states == 2 else (permuted,)
        self.check_forward_args(packed.data, self._shown(state), packed.sizes)
        y, final = self._run(x, state, lengths)
        out = pack_padded_sequence(y, lengths)._replace(sorted_indices=order, unsorted_indices=back)
        return out, self.permute_hidden(self._shown(final), back)

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
    casting = MODE.get().autocast
    if mode == "LSTM" and casting is not None and casting.kind == "cpu":
        return _lowered(casting, x, state, layers, lengths, dropout)
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


def _lowered(
    casting: Any, x: Tensor, state: State, layers: Sequence[Sequence[Mapping[str, Any]]],
    lengths: list[int] | None, dropout: float,
) -> tuple[Tensor, State]:  # fmt: skip
    """Run an LSTM under autocast of the CPU, where it counts as one op: all is rounded once, at both ends."""

    def rounded(t: Any) -> Any:
        return single(casting.lowered((t,))[0]) if isinstance(t, Tensor) else t

    weights = [[{k: rounded(w) for k, w in each.items()} for each in layer] for layer in layers]
    given = rounded(x), tuple([rounded(part) for part in state])
    with using(MODE.get().replace(autocast=None)):
        y, final = run("LSTM", *given, weights, lengths, dropout)
        return y.to(casting.dtype), tuple([part.to(casting.dtype) for part in final])


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
    whole = F.linear(x, weights["weight_ih"], weights["bias_ih"])
    if step is not gru and weights["bias_hh"] is not None:
        # what is added to the gates at each time is added once; a GRU multiplies it
        whole, weights = whole + weights["bias_hh"], {**weights, "bias_hh": None}
    if (
        step is lstm
        and weights.get("weight_hr") is None
        and not any(alive is not None for alive in mask)
    ):
        given = whole, *state, weights["weight_hh"]
        if suits(*given):
            outputs, cell = LSTMSweep.apply(
                _lstm_loop, whole.flip(0) if reverse else whole, *given[1:]
            )
            return outputs.flip(0) if reverse else outputs, (outputs[-1], cell)
    return _loop(step, whole, state, weights, reverse, mask)


def _lstm_loop(gates: Tensor, h: Tensor, c: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Do by ops what LSTMSweep does."""
    weights = {"weight_hh": weight, "bias_hh": None}
    y, state = _loop(lstm, gates, (h, c), weights, False, [None] * gates.shape[0])
    return y, state[1]


def _loop(
    step: Step, whole: Tensor, state: State, weights: Mapping[str, Any], reverse: bool,
    mask: list[Tensor | None],
) -> tuple[Tensor, State]:  # fmt: skip
    """Run a step for each time of the inputs' part of the gates."""
    weights = {**weights, "turned": weights["weight_hh"].t()}
    gates = whole.unbind(0)
    outputs: list[Any] = [None] * len(gates)
    times = range(len(gates))
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

    def get_expected_cell_size(
        self, input: Tensor, batch_sizes: Sizes | None
    ) -> tuple[int, int, int]:
        """Return the shape of the cell state that belongs to `input`."""
        return *self.get_expected_hidden_size(input, batch_sizes)[:2], self.hidden_size

    def check_forward_args(
        self, input: Tensor, hidden: tuple[Tensor, Tensor], batch_sizes: Sizes | None
    ) -> None:
        """Raise RuntimeError if `input` or the initial state has a wrong shape."""
        self.check_input(input, batch_sizes)
        sizes = (
            self.get_expected_hidden_size(input, batch_sizes),
            self.get_expected_cell_size(input, batch_sizes),
        )
        for i, (part, size) in enumerate(zip(hidden, sizes, strict=True)):
            self.check_hidden_size(part, size, f"Expected hidden[{i}] size {{}}, got {{}}")

    def permute_hidden(self, hx: tuple[Tensor, Tensor], permutation: Tensor | None) -> Any:
        """Put the sequences of both states in the order of `permutation`."""
        if permutation is None:
            return hx
        return hx[0].index_select(1, permutation), hx[1].index_select(1, permutation)


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
