"""What is packed of a source: the named list, rule by rule."""

import pytest

from waybill.errors import BadValue, NothingToPack, PickleRefused
from waybill.source.base import SourceFile
from waybill.source.select import Choice, Selection, select

ST = "model.safetensors"
OTHER = "safetensors of the same weights are in "
EXPORT = "another format of the same weights "


def of(*paths: str, allow_pickle: bool = False, choice: Choice = Choice()) -> Selection:  # noqa: B008
    files = [SourceFile(path, 10, "") for path in sorted(paths)]
    return select(files, "the source", allow_pickle=allow_pickle, choice=choice)


def kept(*paths: str, allow_pickle: bool = True) -> set[str]:
    return {file.path for file in of(*paths, allow_pickle=allow_pickle).kept}


@pytest.mark.parametrize(
    "path",
    [
        *("1_Pooling/config.json", "2_Dense/model.safetensors", "2_Dense/pytorch_model.bin"),
        *("modeling_demo.py", "tokenizer.model", "qwen.tiktoken", ".gitattributes", ".gitignore"),
        *("model-q4.gguf", "chat_template.jinja", "vocab.txt", "bin", "a.binary", "LICENSE"),
        *("assets/picture.png", "exonnx/a.json", "weights.npz", "model.safetensors.index.json"),
        "a.npy",
    ],
)
def test_what_serving_may_need_is_kept_beside_safetensors(path: str) -> None:
    assert kept(ST, path) == {ST, path}


def test_a_lora_adapter_is_packed_without_its_pickle_and_its_training() -> None:
    adapter = {"adapter_model.safetensors", "adapter_config.json", "README.md"}
    left = {"adapter_model.bin", "training_args.bin", "optimizer.pt"}
    assert kept(*adapter, *left, allow_pickle=False) == adapter
    with pytest.raises(PickleRefused, match=r"adapter_model\.bin"):
        of("adapter_model.bin", "adapter_config.json")


def test_of_several_quantisations_all_are_kept_or_those_that_are_chosen() -> None:
    files = ["demo-Q4_K_M.gguf", "demo-Q8_0.gguf", "config.json", "README.md"]
    assert kept(*files) == set(files)
    chosen = of(*files, choice=Choice(include=["*Q4_K_M*", "*.json"]))
    assert {file.path for file in chosen.kept} == {"demo-Q4_K_M.gguf", "config.json"}


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("pytorch_model.bin", OTHER + "./"),
        ("training_args.bin", OTHER + "./"),
        ("pytorch_model-00001-of-00002.bin", OTHER + "./"),
        ("pytorch_model.bin.index.json", OTHER + "./"),
        ("tf_model.h5", OTHER + "./"),
        ("flax_model.msgpack", OTHER + "./"),
        ("rust_model.ot", OTHER + "./"),
        ("consolidated.00.pth", OTHER + "./"),
        ("a.pt", OTHER + "./"),
        ("a.ckpt", OTHER + "./"),
        ("Model.BIN", OTHER + "./"),
        ("a.ptl", OTHER + "./"),
        ("onnx/model.onnx", EXPORT + "(onnx/)"),
        ("onnx/config.json", EXPORT + "(onnx/)"),
        ("openvino/openvino_model.bin", EXPORT + "(openvino/)"),
        ("coreml/a/weights.bin", EXPORT + "(coreml/)"),
        ("original/consolidated.00.pth", EXPORT + "(original/)"),
        ("sub/onnx/model.onnx", EXPORT + "(onnx/)"),
        ("consolidated.safetensors", "a consolidated copy of the same weights"),
        ("consolidated-00001-of-00002.safetensors", "a consolidated copy of the same weights"),
    ],
)
def test_a_second_copy_of_the_weights_is_dropped_with_its_reason(path: str, why: str) -> None:
    selection = of(ST, path, "config.json")
    assert selection.dropped == {path: why}
    assert {file.path for file in selection.kept} == {ST, "config.json"}


@pytest.mark.parametrize(
    "path", [".git/config", ".git", ".cache/huggingface/download/x.lock", "sub/.git/HEAD"]
)
def test_metadata_of_git_and_of_downloads_is_dropped(path: str) -> None:
    assert of(ST, path).dropped == {path: "metadata of git or of a download"}


def test_a_signature_beside_the_files_is_dropped_unless_it_is_asked_for() -> None:
    why = "a signature of the files, and none of them"
    assert of(ST, "model.sig").dropped == {"model.sig": why}
    assert not of(ST, "sub/model.sig").dropped
    assert not of(ST, "model.sig", choice=Choice(include=["*"])).dropped


@pytest.mark.parametrize(
    "paths",
    [
        {"onnx/model.onnx", "onnx/config.json", "config.json"},
        {"consolidated.safetensors", "params.json"},
        {"original/model.safetensors", "original/params.json"},
        {"openvino/openvino_model.xml", "config.json"},
    ],
)
def test_the_only_copy_of_the_weights_is_kept(paths: set[str]) -> None:
    assert kept(*paths, allow_pickle=False) == paths


def test_weights_of_another_folder_are_judged_by_that_folder_s_safetensors() -> None:
    paths = {ST, "2_Dense/pytorch_model.bin", "3_Dense/model.safetensors", "3_Dense/a.bin"}
    assert kept(*paths) == paths - {"3_Dense/a.bin"}


@pytest.mark.parametrize(
    "path",
    [
        *("pytorch_model.bin", "a.pt", "a.pth", "a.ckpt", "a.pkl", "a.pickle", "2_Dense/model.bin"),
        *("A.PT", "a.Bin", "a.pt2", "a.ptl", "a.torch", "a.mar", "a.nemo", "a.dill"),
        *("a.joblib", "a.joblib.z", "a.pkl.gz", "a.PKL.XZ", "a.cloudpickle"),
    ],
)
def test_pickles_that_would_remain_are_refused_unless_asked_for(path: str) -> None:
    with pytest.raises(PickleRefused) as caught:
        of(path, "config.json")
    assert str(caught.value) == f"the source has only pickled weights for {path}"
    assert caught.value.exit_code == 2
    assert "--allow-pickle" in caught.value.advice
    assert kept(path, "config.json") == {path, "config.json"}


def test_three_pickles_at_most_are_named() -> None:
    with pytest.raises(PickleRefused, match=r"for 1\.pt, 2\.pt, 3\.pt$"):
        of("1.pt", "2.pt", "3.pt", "4.pt")


@pytest.mark.parametrize("paths", [[], [".git/config", ".cache/x"]])
def test_nothing_to_pack_is_an_error(paths: list[str]) -> None:
    with pytest.raises(NothingToPack, match="the source has nothing to pack: no file is left"):
        of(*paths)


ALL = (
    ST,
    "model-q4.gguf",
    "onnx/model.onnx",
    "onnx/int8/model.onnx",
    "assets/a.png",
    ".git/config",
)


@pytest.mark.parametrize(
    ("choice", "left"),
    [
        pytest.param(Choice(exclude=["*.gguf"]), {ST, "assets/a.png"}, id="exclude"),
        pytest.param(Choice(exclude=["assets/", "*.gguf"]), {ST}, id="a folder, and another"),
        pytest.param(Choice(include=["*.gguf"]), {"model-q4.gguf"}, id="include alone"),
        pytest.param(
            Choice(include=["onnx/"]),
            {"onnx/model.onnx", "onnx/int8/model.onnx"},
            id="include wins over the named list",
        ),
        pytest.param(
            Choice(include=["onnx/*"], exclude=["*/int8/*"]), {"onnx/model.onnx"}, id="both"
        ),
        pytest.param(Choice(include=["*"]), {*ALL} - {".git/config"}, id="metadata never"),
    ],
)
def test_patterns_of_a_person(choice: Choice, left: set[str]) -> None:
    assert {file.path for file in of(*ALL, choice=choice).kept} == left


def test_excluded_weights_make_no_others_superfluous() -> None:
    choice = Choice(exclude=["*.safetensors"])
    selection = of(ST, "pytorch_model.bin", choice=choice, allow_pickle=True)
    assert [file.path for file in selection.kept] == ["pytorch_model.bin"]
    assert selection.dropped == {ST: "--exclude *.safetensors"}


@pytest.mark.parametrize("flag", ["include", "exclude"])
def test_a_pattern_that_matches_nothing_is_refused(flag: str) -> None:
    with pytest.raises(BadValue, match=f"--{flag} '\\*.safetensor' is not usable: no file of"):
        of(ST, choice=Choice(**{flag: ["*.safetensor"]}))
