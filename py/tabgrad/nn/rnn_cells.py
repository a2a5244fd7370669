"""Single steps of recurrent networks, as modules."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import tabgrad as tg
import tabgrad.nn.functional as F
from tabgrad.nn import init
from tabgrad.nn.module import Module
from tabgrad.nn.parameter import parameter_if
from tabgrad.nn.rnn import State, Step, elman, gru, lstm

if TYPE_CHECKING:
    from tabgrad.core.dtype import DType
    from tabgrad.tensor.types import DeviceLike

Tensor = tg.Tensor


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
