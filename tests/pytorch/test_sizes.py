"""Size: what keeps it, and messages of PyTorch's that name one."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from typing import Any

import pytest

import tabgrad as tg
from tabgrad import nn
from tests.grouped import grouped

S = tg.Size
F = nn.functional


def z(*shape: int, **options: Any) -> Any:
    return tg.zeros(shape, device="cpu", **options)


KEPT: dict[str, Callable[[], Any]] = {
    "broadcast_shapes": lambda: tg.broadcast_shapes((2, 1), (3,)),
    "broadcast_shapes of a number": lambda: tg.broadcast_shapes(2, S([1])),
    "a tuple before": lambda: (1,) + S([2]),  # noqa: RUF005
    "tuples on both sides": lambda: (1,) + S([2]) + (3,),  # noqa: RUF005
    "a tuple behind": lambda: S([2]) + (1,),  # noqa: RUF005
    "sum": lambda: sum((S([2]), S([3])), ()),
    "times": lambda: 2 * S([2]) * 2,
    "a slice": lambda: z(2, 3).shape[1:],
    "reversed": lambda: z(2, 3).shape[::-1],
    "size": lambda: z(2, 3).size(),
    "functional": lambda: __import__("tabgrad.functional", fromlist=["x"]).broadcast_shapes(
        (1,), (2,)
    ),
}


@grouped("name", KEPT)
def test_a_size_stays_one(name: str) -> None:
    assert type(KEPT[name]()) is S


def test_a_size_is_a_tuple_of_ints_joined_only_with_tuples() -> None:
    assert S([2]) + (3,) == (2, 3) == S([2, 3])  # noqa: RUF005
    for other in ([1], 1, None):
        with pytest.raises(TypeError):
            S([2]) + other
        with pytest.raises(TypeError):
            other + S([2])


RAISED: dict[str, tuple[Callable[[], Any], str]] = {
    "load_state_dict": (
        lambda: nn.Linear(2, 2, device="cpu").load_state_dict({"weight": z(3, 2), "bias": z(2)}),
        "copying a param with shape {3, 2} from checkpoint, the shape in current model is {2, 2}.",
    ),
    "batch_norm": (
        lambda: nn.BatchNorm1d(3, device="cpu")(z(1, 3)),
        "Expected more than 1 value per channel when training, got input size {1, 3}",
    ),
    "instance_norm": (
        lambda: nn.InstanceNorm1d(3, device="cpu")(z(1, 3, 1)),
        "Expected more than 1 spatial element when training, got input size {1, 3, 1}",
    ),
    "binary_cross_entropy_with_logits": (
        lambda: F.binary_cross_entropy_with_logits(z(2), z(2, 1)),
        "Target size ({2, 1}) must be the same as input size ({2})",
    ),
    "backward": (
        lambda: (z(2, requires_grad=True) * 2).backward(z(3)),
        "Mismatch in shape: grad_output[0] has a shape of {3} and output[0] has a shape of {2}.",
    ),
}


@grouped("name", RAISED)
def test_messages_name_sizes_as_pytorch_does(name: str) -> None:
    call, text = RAISED[name]
    wanted = text.replace("{", "tabgrad.Size([").replace("}", "])")
    with pytest.raises((RuntimeError, ValueError), match=re.escape(wanted)):
        call()


@grouped("loss", ["mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss"])
def test_a_loss_that_broadcasts_warns(loss: str) -> None:
    call = getattr(F, loss)
    text = "Using a target size (tabgrad.Size([2, 1])) that is different to the input size (tabgrad.Size([2]))"
    with pytest.warns(UserWarning, match=re.escape(text)) as seen:
        assert call(z(2), z(2, 1)).shape == ()
    assert seen[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        call(z(2), z(2))
