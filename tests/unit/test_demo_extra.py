"""The demo's extra: what is missing is named before anything is done."""

import pytest

from mllab.demo.extra import check_installed, check_protobuf
from mllab.errors import EnvironmentFault


def test_everything_there_passes():
    check_installed()


def test_missing_packages_are_named_with_the_command_that_installs_them():
    with pytest.raises(EnvironmentFault) as caught:
        check_installed(lambda module: None if module in {"sklearn", "skl2onnx"} else object())
    assert "skl2onnx and scikit-learn" in caught.value.message
    assert "pip install 'mllab[demo]'" in (caught.value.hint or "")
    assert caught.value.exit_status == 3


@pytest.mark.parametrize(("skl2onnx", "protobuf"), [("1.20.0", "7.34.0"), ("1.18", "7.0.0rc1")])
def test_a_protobuf_that_breaks_the_export_is_refused(skl2onnx, protobuf):
    with pytest.raises(EnvironmentFault, match="protobuf"):
        check_protobuf(skl2onnx, protobuf)


@pytest.mark.parametrize(("skl2onnx", "protobuf"), [("1.20.0", "6.33.6"), ("1.21.0", "7.34.0"), ("1.20.1", "7.34.0")])
def test_pairs_that_fit_pass(skl2onnx, protobuf):
    check_protobuf(skl2onnx, protobuf)
