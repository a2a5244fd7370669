"""Objects to save, made of the names of PyTorch, so that it and tabgrad make the same ones."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import Any


def _x(T: Any) -> Any:
    return T.arange(12, dtype=T.float32).reshape(3, 4).clone()


def _dtypes(T: Any) -> Any:
    names = (
        "bool uint8 int8 int16 int32 int64 uint16 uint32 uint64 float16 bfloat16 float32 float64 complex64 "
        "complex128"
    )
    return {name: T.tensor([0, 1, 1], dtype=getattr(T, name)) for name in names.split()}


def _views(T: Any) -> Any:
    x = _x(T)
    return {
        "x": x,
        "row": x[1],
        "t": x.t(),
        "step": x[::2, 1::2],
        "detached": x.detach(),
        "flat": x.view(-1),
        "expanded": T.ones(1, 3).expand(2, 3),
        "windows": T.arange(5).unfold(0, 3, 1),
        "empty": x[:0],
        "none": T.zeros(0, 3),
        "scalar": T.tensor(2.5),
    }


def _leaves(T: Any) -> Any:
    w = T.ones(2, requires_grad=True)
    flagged = T.ones(2)
    flagged.note = "kept"
    parameter = T.nn.Parameter(T.zeros(2), requires_grad=False)
    parameter.group = 3
    return [w, w * 2, T.nn.Parameter(T.ones(1)), flagged, parameter, w]


def _plain(T: Any) -> Any:
    return {
        "none": None,
        "numbers": [True, -1, 2**70, 1.5, float("inf"), 1j],
        "texts": ["ä", b"\xff\0", bytearray(b"ab")],
        "tuple": (1, (2,), ()),
        7: {(1, "a"): 2},
        "set": {1},
        "frozen": frozenset([2]),
        "ordered": OrderedDict(b=1, a=2),
        "count": Counter("aab"),
        "slice": slice(1, 2),
        "dtype": T.float16,
        "size": T.Size([2, 3]),
        "device": T.device("cpu"),
        "layout": T.strided,
        "long": list(range(300)),
    }


def _sparse(T: Any) -> Any:
    dense = T.tensor([[0.0, 1.0], [2.0, 0.0]])
    return [dense.to_sparse(), dense.to_sparse_csr(), dense.to_sparse_csc()]


def _net(T: Any) -> Any:
    nn = T.nn
    net = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Linear(3, 1))
    with T.no_grad():
        for i, p in enumerate(net.parameters()):
            p.copy_(T.linspace(-1, 1, p.numel()).reshape(p.shape) + i)
    return net


def _checkpoint(T: Any) -> Any:
    net = _net(T)
    found: dict[str, Any] = {}
    makers: dict[str, Callable[..., Any]] = {
        "sgd": lambda p: T.optim.SGD(p, lr=0.1, momentum=0.9),
        "adam": lambda p: T.optim.Adam(p, lr=0.1),
        "rmsprop": lambda p: T.optim.RMSprop(p, lr=0.1),
    }
    for name, make in makers.items():
        optimizer = make(net.parameters())
        schedule = T.optim.lr_scheduler.StepLR(optimizer, 1)
        for _ in range(2):
            optimizer.zero_grad()
            net(T.linspace(-1, 1, 8).reshape(4, 2)).square().mean().backward()
            optimizer.step()
            schedule.step()
        found[name] = {"optimizer": optimizer.state_dict(), "schedule": schedule.state_dict()}
    return {"epoch": 2, "net": net.state_dict(), **found}


WEIGHTS = {
    "dtypes": _dtypes,
    "views": _views,
    "leaves": _leaves,
    "plain": _plain,
    "sparse": _sparse,
    "checkpoint": _checkpoint,
}
"""What files of weights may hold."""


def bits(T: Any) -> dict[str, Any]:
    """Return tensors that have other signs than their memory, which PyTorch's files say beside it."""
    z = T.tensor([[1 + 2j, 3 - 4j]])
    noted = z.conj()
    noted.note = "kept"
    return {
        "z": z,
        "conj": z.conj(),
        "adjoint": z.mH,
        "imag": z.clone().conj().imag,
        "noted": noted,
        "tracked": z.conj().detach().requires_grad_(),
        "parameter": T.nn.Parameter(z.conj()),
    }


def modules(T: Any) -> dict[str, tuple[Any, tuple[Any, ...]]]:
    """Return modules, with the shape of an input each."""
    nn = T.nn
    return {
        "linear": (
            nn.Sequential(
                nn.Linear(4, 3), nn.ReLU(), nn.LayerNorm(3), nn.Dropout(0.1), nn.Softmax(1)
            ),
            (2, 4),
        ),
        "conv": (
            nn.Sequential(
                nn.Conv2d(1, 2, 3, padding=1),
                nn.BatchNorm2d(2),
                nn.GELU(),
                nn.MaxPool2d(2),
                nn.Flatten(),
                nn.Linear(8, 1),
            ),
            (1, 1, 4, 4),
        ),
        "transposed": (
            nn.Sequential(
                nn.ConvTranspose2d(1, 2, 3, stride=2, output_padding=1),
                nn.GroupNorm(2, 2),
                nn.Upsample(scale_factor=2),
                nn.AdaptiveAvgPool2d(2),
            ),
            (1, 1, 3, 3),
        ),
        "lstm": (nn.LSTM(2, 2, 2, bidirectional=True), (3, 1, 2)),
        "gru": (nn.GRU(2, 3), (3, 1, 2)),
        "rnn": (nn.RNN(2, 3), (3, 1, 2)),
        "transformer": (nn.TransformerEncoderLayer(4, 2, 4, 0.0), (3, 1, 4)),
        "padded": (
            nn.Sequential(
                nn.ZeroPad2d(1),
                nn.ReflectionPad2d(1),
                nn.InstanceNorm2d(1),
                nn.PReLU(),
                nn.PixelUnshuffle(2),
            ),
            (1, 1, 4, 4),
        ),
    }


def output(T: Any, module: Any, shape: tuple[int, ...]) -> Any:
    """Return what a module makes of numbers from -1 to 1."""
    module.eval()
    x = T.linspace(-1, 1, T.zeros(shape).numel()).reshape(shape)
    y = module(x)
    return y[0] if isinstance(y, tuple) else y


def told(T: Any, value: Any) -> Any:
    """Return a description of a value that JSON holds: types, dtypes, strides, values."""
    if isinstance(value, T.Tensor):
        kind = [
            type(value).__name__,
            str(value.dtype).partition(".")[2],
            list(value.shape),
            bool(value.requires_grad),
        ]
        dense = value.detach()
        if value.layout != T.strided:
            return [*kind, str(value.layout).partition(".")[2], told(T, dense.to_dense())]
        shown = T.view_as_real(dense) if dense.is_complex() else dense
        numbers = [float(x) for x in shown.reshape(-1).double().tolist()]
        return [*kind, list(value.stride()), value.storage_offset(), numbers, told(T, vars(value))]
    if isinstance(value, dict):
        name = "OrderedDict" if isinstance(value, OrderedDict) else type(value).__name__
        return [name, [[told(T, k), told(T, v)] for k, v in value.items()]]
    if isinstance(value, T.Size):
        return ["Size", list(value)]
    if isinstance(value, list | tuple | set | frozenset):
        return [type(value).__name__, [told(T, x) for x in value]]
    if isinstance(value, bool | int | str) or value is None:
        return value if not isinstance(value, int) or abs(value) < 2**53 else ["int", str(value)]
    return [type(value).__name__, repr(value).replace(T.__name__ + ".", "")]
