"""Which files ``hf:owner/repository:Q4_K_M`` means."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from astrollava.errors import AstrollavaError, DownloadFailed, InvalidRequest, ModelNotFound
from astrollava.models._hf_names import HubName, choose_pair, parse
from astrollava.models._hub_cache import safe_name
from astrollava.models.catalog import RemoteFile


def chosen(asked: str | None, *files: str) -> tuple[str, str]:
    pair = choose_pair(HubName("space/galaxy", asked), [RemoteFile(file) for file in files])
    return pair["text"].file, pair["mmproj"].file


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("hf:ggml-org/gemma-3-4b-it-GGUF", ("ggml-org/gemma-3-4b-it-GGUF", None, None)),
        ("hf:a/b.c:Q4_K_M", ("a/b.c", "Q4_K_M", None)),
        ("hf:a/b:UD-Q4_K_XL@main", ("a/b", "UD-Q4_K_XL", "main")),
        ("HF:a/b@0123abc ", ("a/b", None, "0123abc")),
    ],
)
def test_a_name_is_taken_apart(name: str, parts: tuple[str, str | None, str | None]) -> None:
    assert parse(name) == HubName(*parts)


@pytest.mark.parametrize(
    "name", ["hf:", "hf:a", "hf:a/b/c", "hf:../b", "hf:a/..", "hf:a/b:", "hf:a b/c"]
)
def test_anything_else_is_refused(name: str) -> None:
    with pytest.raises(InvalidRequest, match="hf:owner/repository"):
        parse(name)


def test_the_quantization_is_found_whatever_the_file_is_called() -> None:
    """Every publisher names files in his own way."""
    mmproj = "mmproj-model-f16.gguf"
    for file, asked in (
        ("gemma-3-4b-it-Q4_K_M.gguf", "q4_k_m"),
        ("ggml-model-q4_k.gguf", "Q4_K"),
        ("llava-1.6-mistral-7b.Q6_K.gguf", "Q6_K"),
        ("sub/model-IQ3_XXS.gguf", "IQ3_XXS"),
        ("model-UD-Q4_K_XL.gguf", "UD-Q4_K_XL"),
        ("model-f16.gguf", "F16"),
        ("model.fp16.gguf", "F16"),
        ("model-MXFP4.gguf", "MXFP4"),
    ):
        assert chosen(asked, file, "other-Q2_K.gguf", mmproj) == (file, mmproj)


def test_a_name_in_which_a_quantization_hides_is_not_one() -> None:
    """Asking for Q4_K must not bring Q4_K_M, nor F16 bring BF16."""
    files = ("m-Q4_K_M.gguf", "m-Q4_K_S.gguf", "m-BF16.gguf", "mmproj.gguf")
    for asked in ("Q4_K", "F16"):
        with pytest.raises(ModelNotFound, match="it has BF16, Q4_K_M, Q4_K_S"):
            chosen(asked, *files)


def test_without_a_quantization_the_usual_one_is_taken() -> None:
    assert chosen(None, "m-F16.gguf", "m-Q4_K_M.gguf", "mmproj.gguf")[0] == "m-Q4_K_M.gguf"
    assert chosen(None, "m-F16.gguf", "m-Q8_0.gguf", "mmproj.gguf")[0] == "m-Q8_0.gguf"
    assert chosen(None, "only.gguf", "mmproj.gguf")[0] == "only.gguf"
    with pytest.raises(ModelNotFound, match="Say which"):
        chosen(None, "m-Q2_K.gguf", "m-Q3_K_M.gguf", "mmproj.gguf")


def test_the_projector_loses_little() -> None:
    files = ("m-Q8_0.gguf", "mmproj-F32.gguf", "mmproj-F16.gguf", "mmproj-Q8_0.gguf")
    assert chosen(None, *files)[1] == "mmproj-Q8_0.gguf"
    assert chosen(None, *files[:3])[1] == "mmproj-F16.gguf"
    with pytest.raises(ModelNotFound, match="2 projectors"):
        chosen(None, "m-Q8_0.gguf", "mmproj-a.gguf", "mmproj-b.gguf")


def test_what_cannot_be_used_is_named() -> None:
    with pytest.raises(ModelNotFound, match="reads words only"):
        chosen(None, "m-Q8_0.gguf")
    with pytest.raises(ModelNotFound, match="no GGUF language model"):
        chosen(None, "model.safetensors", "mmproj.gguf")
    parts = ("m-Q8_0-00001-of-00002.gguf", "m-Q8_0-00002-of-00002.gguf", "m-Q4_0.gguf")
    with pytest.raises(ModelNotFound, match="split into parts"):
        chosen("Q8_0", *parts, "mmproj.gguf")


@given(st.text(max_size=60))
def test_no_text_breaks_the_parser(text: str) -> None:
    try:
        name = parse("hf:" + text)
    except InvalidRequest:
        return
    assert name.repo.count("/") == 1
    assert ".." not in name.repo


@given(st.lists(st.text(max_size=40), max_size=6), st.sampled_from([None, "Q8_0"]))
def test_no_listing_breaks_the_choice(files: list[str], asked: str | None) -> None:
    try:
        text, mmproj = chosen(asked, *files)
    except AstrollavaError:
        return
    assert {text, mmproj} <= set(files)


@pytest.mark.parametrize(
    "name", ["../x", "a/../x", "/x", "a//x", "a\\x", "C:x", "a/./x", "", ".", "a\0b", "x/"]
)
def test_a_name_that_leaves_its_folder_is_refused(name: str) -> None:
    """A hostile mirror could write anywhere."""
    with pytest.raises(DownloadFailed, match="inside its folder"):
        safe_name(name)
    assert safe_name("sub/model-Q8_0.gguf") == "sub/model-Q8_0.gguf"
