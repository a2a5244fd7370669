"""How the shaders folder is read: functions with what they need, kernels with their blocks."""

from __future__ import annotations

import pytest

from tabgrad.lower import library
from tabgrad.lower.library import ShaderError


def test_functions_come_after_what_they_call_and_once() -> None:
    text = library.functions(["tanh_f32", "sigmoid_f32"])
    names = library.FUNCTION_START.findall(text)
    assert len(names) == len(set(names))
    for name in names:
        used = library.all_functions()[name].uses
        assert all(names.index(other) < names.index(name) for other in used)
    assert {"tanh_f32", "sigmoid_f32", "expm1_reduced"} <= set(names)


def test_the_same_names_in_any_order_give_the_same_text() -> None:
    assert library.functions(["erf_f32", "nan", "pow_f32"]) == library.functions(
        ["pow_f32", "erf_f32", "nan"]
    )


def test_only_library_functions_that_are_called_are_found() -> None:
    text = "let a = tanh_f32(x); let exp_f32 = 1.0; let b = mytanh_f32(x) + max(a, 0.0) + nan();"
    assert library.names_used(text) == {"tanh_f32", "nan"}


def test_no_comment_reaches_the_device() -> None:
    assert "//" not in library.functions(library.all_functions())
    assert "//" not in library.kernel("matmul").with_blocks({})


def test_a_block_is_replaced_whole_and_brings_its_functions() -> None:
    store = "fn store(b: u32, i: u32, j: u32, acc: elem) { out[i] = erf_f32(acc); }"
    text = library.kernel("matmul_direct").with_blocks({"store": store})
    assert store in text
    assert "fn erf_f32(" in text
    assert "out[(b * M + i) * N + j]" not in text


def test_directives_stand_first() -> None:
    block = "fn load_lhs(b: u32, i: u32, k: u32) -> elem { return quadBroadcast(f16(1.0), 0u); }"
    text = library.kernel("matmul").with_blocks({"load_lhs": block}, alias_elem="f16")
    assert text.startswith("enable f16;\nenable subgroups;\n")
    assert "alias elem = f16;" in text


def test_unknown_names_say_what_there_is() -> None:
    with pytest.raises(ShaderError, match="no library function named tanhf"):
        library.functions(["tanhf"])
    with pytest.raises(ShaderError, match=r"no kernel named matmal; there are .*cholesky, "):
        library.kernel("matmal")
    with pytest.raises(ShaderError, match="no block named lode; it has bindings, combine, dims"):
        library.kernel("scan").with_blocks({"lode": ""})
    with pytest.raises(ShaderError, match='expected "wgsl" or "cuda"'):
        library.prelude("metal")
    with pytest.raises(ShaderError, match="sort: has no line 'alias elem"):
        library.kernel("sort").with_blocks({}, alias_elem="i32")


def test_front_matter_without_a_name_is_refused() -> None:
    with pytest.raises(ShaderError, match="front matter must begin"):
        library.parse_front_matter("//! computes something\n")
    with pytest.raises(ShaderError, match="expected one @error"):
        library.parse_front_matter("//! f: x\n").tag("error")


@pytest.mark.parametrize("name", library.kernel_names())
def test_every_kernel_says_how_it_is_run(name: str) -> None:
    tags = library.kernel(name).front_matter.tags
    assert library.kernel(name).front_matter.name == name
    assert {"bindings", "dispatch", "blocks", "reference"} <= set(tags)


def test_every_function_says_how_far_it_may_be_off() -> None:
    for function in library.all_functions().values():
        assert function.front_matter.tag("error")
