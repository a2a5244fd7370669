"""What a kernel's text leaves open: sizes, words of one dispatch, and the declaration of the uniforms."""

from __future__ import annotations

from typing import Any

import pytest

import tabgrad as tg
from tabgrad.lower.cuda import CUDA
from tabgrad.lower.kernel import Kernel
from tabgrad.lower.tokens import UNIFORMS, Size, Template, Word
from tabgrad.lower.wgsl import WGSL
from tests.lower import recorder


def kernel(text: str, **facts: Any) -> Kernel:
    return Kernel("test", text, "rw", [0, 1], (1, 1, 1), **facts)


def test_texts_differ_in_sizes_only_where_their_forms_are_equal() -> None:
    one, two = (Template(f"a{Size(n)} + {Word(0)}{UNIFORMS}") for n in (3, 40))
    assert one.form == two.form
    assert (one.sizes, two.sizes) == ((3,), (40,))
    for other in (f"a{Size(3)} + {Word(1)}{UNIFORMS}", f"a3u + {Word(0)}{UNIFORMS}"):
        assert Template(other).form != one.form
    assert one.filled(repr) == f"a3 + 0{UNIFORMS!r}"


def test_sizes_are_numbers_unless_they_are_lifted() -> None:
    text = f"{Size(7)} {Size(12)} {Size(7)}"
    k = kernel(text).written(WGSL())
    assert (k.source, k.bindings, k.words) == ("7u 12u 7u", "rw", ())
    k = kernel(text).written(WGSL(), (True, False, True))
    assert (k.source, k.bindings, k.words) == ("u[0].x 12u u[0].y", "rwu", (7, 7))


def test_words_of_a_dispatch_come_behind_constants_and_before_lifted_sizes() -> None:
    text = f"{UNIFORMS}|{Size(9)} {Word(1)} {Word(0)}"
    facts: dict[str, Any] = {"uniforms": [(0, "f32"), (1, "i64")], "words": (5, 6)}
    k = kernel(text, **facts).written(CUDA(), (True,))
    assert k.source == ", const unsigned int* __restrict__ u|u[5] u[4] u[3]"
    assert k.words == (5, 6, 9)
    wgsl = kernel(f"{UNIFORMS}|{Size(9)} {Word(1)}", words=(5, 6)).written(WGSL(), (True,))
    head = "\n@group(0) @binding(2) var<uniform> u: array<vec4<u32>, 1>;"
    assert wgsl.source == f"{head}|u[0].z u[0].y"
    assert kernel(UNIFORMS).written(WGSL()).source == ""


def test_the_text_of_a_user_is_left_alone() -> None:
    k = kernel(f"{Size(3)}", verbatim=True)
    assert k.written(WGSL()) is k


@pytest.mark.parametrize("kind", ["webgpu", "cuda"])
def test_a_number_that_only_equals_a_size_stays_in_the_text(kind: str) -> None:
    device = recorder.device(kind)

    @tg.compile(dynamic=True)
    def double(x: Any) -> Any:
        return x * 2

    double(tg.zeros(64, 3, device=device))
    source = recorder.last_plan(device).kernels[-1].source
    assert " * 64u + " in source, source  # the threads of a workgroup
    double(tg.zeros(50, 3, device=device))
    assert recorder.last_plan(device).kernels[-1].source == source
