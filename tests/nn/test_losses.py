"""Losses take PyTorch's older pair of flags at its positions, beside `reduction`."""

from __future__ import annotations

import pytest

import tabgrad as tg
from tabgrad import nn

FIRST = ("L1Loss", "MSELoss", "SmoothL1Loss", "KLDivLoss", "SoftMarginLoss", "MultiLabelMarginLoss")
SECOND = (
    "BCELoss", "BCEWithLogitsLoss", "MultiLabelSoftMarginLoss", "CrossEntropyLoss", "NLLLoss",
)  # fmt: skip
AFTER_A_NUMBER = ("HingeEmbeddingLoss", "MarginRankingLoss", "CosineEmbeddingLoss")


@pytest.mark.parametrize("name", FIRST)
def test_flags_come_first(name: str) -> None:
    make = getattr(nn, name)
    assert make(False).reduction == "sum"
    assert make(True, False).reduction == "none"
    assert make(None, True).reduction == "mean"
    assert make(None, None, "sum").reduction == "sum"


@pytest.mark.parametrize("name", SECOND + AFTER_A_NUMBER)
def test_flags_come_after_one_argument(name: str) -> None:
    make, first = getattr(nn, name), None if name in SECOND else 0.5
    assert make(first, False).reduction == "sum"
    assert make(first, reduce=False).reduction == "none"
    assert make(first, size_average=True, reduction="sum").reduction == "mean"


def test_what_stands_between_the_flags() -> None:
    loss = nn.CrossEntropyLoss(None, None, 2, False, "mean", 0.25)
    assert (loss.ignore_index, loss.reduction, loss.label_smoothing) == (2, "none", 0.25)
    other = nn.NLLLoss(None, False, 3)
    assert (other.ignore_index, other.reduction) == (3, "sum")
    poisson = nn.PoissonNLLLoss(False, True, False, 1e-3)
    assert (poisson.full, poisson.eps, poisson.reduction) == (True, 1e-3, "sum")
    triplet = nn.TripletMarginLoss(1.0, 2.0, 1e-6, True, False)
    assert (triplet.swap, triplet.reduction) == (True, "sum")
    margin = nn.MultiMarginLoss(1, 1.0, None, None, False)
    assert margin.reduction == "none"


@pytest.mark.every_host
def test_lengths_and_targets_of_ctc_may_be_on_the_cpu(device: str) -> None:
    tg.manual_seed(0)
    log_probs = tg.randn(6, 2, 5, device="cpu").log_softmax(-1)
    targets, lengths = tg.tensor([[1, 2], [3, 0]], device="cpu"), ([6, 5], [2, 1])
    wanted = float(tg.nn.functional.ctc_loss(log_probs, targets, *lengths))
    on_cpu = [tg.tensor(v, device="cpu") for v in lengths]
    for given in (targets, targets.to(device), tg.tensor([1, 2, 3], device="cpu")):
        found = tg.nn.functional.ctc_loss(log_probs.to(device), given, *on_cpu)
        assert found.device.type == device
        assert abs(float(found) - wanted) < 1e-4
