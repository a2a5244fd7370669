"""Recurrent layers and cells as functions of their weights, as PyTorch has them at its root."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tabgrad as tg
import tabgrad.nn.functional as F
from tabgrad.nn.rnn import MODES, run
from tabgrad.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence
from tabgrad.tensor.public import publish

Tensor = tg.Tensor


def _weights(
    name: str, params: Sequence[Tensor], has_biases: bool, num_layers: int, bidirectional: bool,
    projected: bool,
) -> list[list[dict[str, Any]]]:  # fmt: skip
    """Return the weights of each direction of each layer from one list of all."""
    names = ["weight_ih", "weight_hh"] + ["bias_ih", "bias_hh"] * bool(has_biases)
    names += ["weight_hr"] * projected
    directions = 2 if bidirectional else 1
    if len(params) != num_layers * directions * len(names):
        raise RuntimeError(
            f"{name}: expected {len(names)} weights for each of {num_layers * directions} layers and "
            f"directions, got {len(params)} in all"
        )
    each = [params[k : k + len(names)] for k in range(0, len(params), len(names))]
    blank = dict.fromkeys(("bias_ih", "bias_hh", "weight_hr"))
    sets = [{**blank, **dict(zip(names, one, strict=True))} for one in each]
    return [sets[k : k + directions] for k in range(0, len(sets), directions)]


def _layers(name: str, mode: str, args: tuple[Any, ...], packed: bool) -> Any:
    """Run layers by the arguments of either form; see `lstm`."""
    if len(args) != 9:
        raise TypeError(f"{name}() takes 9 arguments, got {len(args)}")
    if packed:
        data, batch_sizes, hx, params, has_biases, num_layers, dropout, train, bidirectional = args
        sequence = PackedSequence(data, batch_sizes)
        lengths, batch_first = sequence.lengths(), False
        x, _ = pad_packed_sequence(sequence)
    else:
        x, hx, params, has_biases, num_layers, dropout, train, bidirectional, batch_first = args
        lengths = None
        x = x.transpose(0, 1) if batch_first else x
    state = (hx,) if isinstance(hx, Tensor) else tuple(hx)
    if len(state) != MODES[mode][1]:
        raise RuntimeError(f"{name}: expected {MODES[mode][1]} hidden states, got {len(state)}")
    projected = len(state) == 2 and state[0].shape[-1] != state[1].shape[-1]
    weights = _weights(name, params, has_biases, num_layers, bidirectional, projected)
    y, final = run(mode, x, state, weights, lengths, dropout if train else 0.0)
    if lengths is not None:
        y = pack_padded_sequence(y, lengths).data
    elif batch_first:
        y = y.transpose(0, 1)
    return (y, *final)


def lstm(*args: Any) -> tuple[Tensor, Tensor, Tensor]:
    """Run an LSTM: (outputs, h, c) of its weights, given as one list; see `nn.LSTM`.

    The arguments are (input, hx, params, has_biases, num_layers, dropout, train, bidirectional, batch_first),
    or for a packed sequence (data, batch_sizes, hx, params, has_biases, num_layers, dropout, train,
    bidirectional). `hx` is (h, c).
    """
    return _layers("lstm", "LSTM", args, isinstance(args[1], Tensor))


def gru(*args: Any) -> tuple[Tensor, Tensor]:
    """Run gated recurrent units: (outputs, h); arguments as those of `lstm`, with `hx` one tensor."""
    return _layers("gru", "GRU", args, isinstance(args[2], Tensor))


def rnn_tanh(*args: Any) -> tuple[Tensor, Tensor]:
    """Run an Elman network with tanh: (outputs, h); arguments as those of `gru`."""
    return _layers("rnn_tanh", "RNN_TANH", args, isinstance(args[2], Tensor))


def rnn_relu(*args: Any) -> tuple[Tensor, Tensor]:
    """Run an Elman network with relu: (outputs, h); arguments as those of `gru`."""
    return _layers("rnn_relu", "RNN_RELU", args, isinstance(args[2], Tensor))


def _cell(
    mode: str, input: Tensor, hx: Any, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor | None,
    b_hh: Tensor | None,
) -> tuple[Tensor, ...]:  # fmt: skip
    state = (hx,) if isinstance(hx, Tensor) else tuple(hx)
    weights = {"weight_hh": w_hh, "bias_hh": b_hh}
    return MODES[mode][2](F.linear(input, w_ih, b_ih), state, weights)


def lstm_cell(
    input: Tensor, hx: Sequence[Tensor], w_ih: Tensor, w_hh: Tensor, b_ih: Tensor | None = None,
    b_hh: Tensor | None = None,
) -> tuple[Tensor, ...]:  # fmt: skip
    """Return the next (h, c) of an LSTM from `input` [N, C] and `hx` = (h, c); see `nn.LSTMCell`."""
    return _cell("LSTM", input, hx, w_ih, w_hh, b_ih, b_hh)


def gru_cell(
    input: Tensor, hx: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor | None = None,
    b_hh: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """Return the next state of a gated recurrent unit from `input` [N, C] and the state `hx`.

    >>> import tabgrad as tg
    >>> x, h, w = tg.ones(1, 1), tg.zeros(1, 1), tg.zeros(3, 1)
    >>> tg.gru_cell(x, h, w, w)
    tensor([[0.]])
    """
    return _cell("GRU", input, hx, w_ih, w_hh, b_ih, b_hh)[0]


def rnn_tanh_cell(
    input: Tensor, hx: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor | None = None,
    b_hh: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """Return tanh(w_ih x + b_ih + w_hh h + b_hh); see `nn.RNNCell`."""
    return _cell("RNN_TANH", input, hx, w_ih, w_hh, b_ih, b_hh)[0]


def rnn_relu_cell(
    input: Tensor, hx: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor | None = None,
    b_hh: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """Return relu(w_ih x + b_ih + w_hh h + b_hh); see `nn.RNNCell`."""
    return _cell("RNN_RELU", input, hx, w_ih, w_hh, b_ih, b_hh)[0]


__all__ = [
    "gru", "gru_cell", "lstm", "lstm_cell", "rnn_relu", "rnn_relu_cell", "rnn_tanh", "rnn_tanh_cell",
]  # fmt: skip

publish(globals())
