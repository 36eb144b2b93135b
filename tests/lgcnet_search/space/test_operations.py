"""Every operation as it is defined: sizes, the deployed form, and the digest of the definition."""

import ast
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

import lgcnet_search
from latency_tables.contract import OperationSpec
from lgcnet_search.space.digest import definition
from lgcnet_search.space.fold import deploy
from lgcnet_search.space.operations import OPERATIONS, AreaPooling, FactorizedReduction, build_operation, output_shape
from lgcnet_search.space.space import Space, specify
from tests.support.tiny_spaces import unsettle

SIZES = [(769, 1537), (385, 769), (512, 1024), (720, 960), (333, 501)]

ONE_OF_EACH = [
    specify("conv_1x1", (8, 17, 33), out_channels=12),
    specify("conv_3x3", (8, 17, 34), out_channels=12, stride=2),
    specify("sep_conv_3x3", (8, 17, 33), out_channels=8, stride=1),
    specify("dil_conv_3x3", (8, 16, 33), out_channels=8, stride=2, dilation=4),
    specify("factorized_reduction", (8, 17, 33), out_channels=6, stride=2),
    specify("factorized_reduction", (8, 17, 34), out_channels=6, stride=2),
    specify("max_pool_3x3", (8, 17, 33), stride=2),
    specify("global_pool", (8, 17, 33), out_channels=8, bins=5),
    specify("deconv_3x3", (8, 9, 17), out_channels=8, height=17, width=34),
    specify("interpolate", (8, 9, 17), height=17, width=34),
    specify("concat", (8, 9, 17), (4, 9, 17)),
    specify("add", (8, 9, 17), (8, 9, 17)),
    specify("zeros", (8, 17, 33), height=9, width=17),
    specify("classifier", (8, 9, 17), out_channels=19),
]


def inputs_of(spec: OperationSpec, batch: int = 2) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(batch, *shape, generator=generator) for shape in spec.input_shapes]


def test_each_operation_is_tested() -> None:
    assert {spec.name for spec in ONE_OF_EACH} == set(OPERATIONS)


@pytest.mark.parametrize("spec", ONE_OF_EACH, ids=str)
def test_deployed_equals_evaluated(spec: OperationSpec) -> None:
    module = build_operation(spec)
    unsettle(module)
    expected = module.eval()(*inputs_of(spec))
    deployed = deploy(module)
    assert not any(isinstance(layer, torch.nn.BatchNorm2d) for layer in deployed.modules())
    torch.testing.assert_close(deployed(*inputs_of(spec)), expected, rtol=1e-4, atol=1e-5)
    assert tuple(expected.shape[1:]) == output_shape(spec)


@pytest.mark.parametrize("spec", ONE_OF_EACH, ids=str)
def test_inputs_stay_as_they_are(spec: OperationSpec) -> None:
    inputs = inputs_of(spec)
    before = [value.clone() for value in inputs]
    deploy(build_operation(spec))(*inputs)
    torch.testing.assert_close(inputs, before, rtol=0, atol=0)


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_every_operation_of_the_space_lands_on_its_shape(height: int, width: int) -> None:
    with torch.device("meta"):
        for spec in Space(height=height, width=width).operations:
            output = build_operation(spec)(*[torch.empty(2, *shape) for shape in spec.input_shapes])
            assert tuple(output.shape) == (2, *output_shape(spec)), spec


@pytest.mark.parametrize("size", [(17, 33), (16, 33), (16, 32)])
def test_factorized_reduction_sees_every_pixel(size: tuple[int, int]) -> None:
    reduction = build_operation(specify("factorized_reduction", (1, *size), out_channels=2, stride=2)).eval()
    assert isinstance(reduction, FactorizedReduction)
    image = torch.rand(1, 1, *size)
    for layers in (reduction.even, reduction.odd):
        torch.nn.init.ones_(layers[0].weight)  # type: ignore[arg-type]
    even, odd = reduction(image)[0] * (1 + 1e-5) ** 0.5
    torch.testing.assert_close(even, image[0, 0, ::2, ::2])
    inside = image[0, 0, 1::2, 1::2]
    torch.testing.assert_close(odd[: inside.shape[0], : inside.shape[1]], inside)


def test_interpolation_keeps_corners() -> None:
    small = torch.rand(1, 2, 5, 9)
    large = build_operation(specify("interpolate", (2, 5, 9), height=9, width=17))(small)
    torch.testing.assert_close(large[:, :, ::2, ::2], small)


@pytest.mark.parametrize("bins", [1, 2, 5])
@pytest.mark.parametrize("size", [(49, 97), (193, 30), (4, 3)])
def test_area_pooling_is_adaptive_average_pooling(bins: int, size: tuple[int, int]) -> None:
    image = torch.randn(2, 3, *size)
    torch.testing.assert_close(AreaPooling((3, *size), bins)(image), F.adaptive_avg_pool2d(image, bins))


@pytest.mark.parametrize("dilation", [2, 8])
def test_separable_convolution_is_depthwise_then_pointwise(dilation: int) -> None:
    spec = specify("dil_conv_3x3", (6, 19, 23), out_channels=6, stride=1, dilation=dilation)
    module = build_operation(spec).eval()
    weights = list(module.parameters())
    (image,) = inputs_of(spec)
    expected = F.conv2d(image, weights[0], padding=dilation, dilation=dilation, groups=6)
    expected = F.relu(F.conv2d(expected, weights[1]) / (1 + 1e-5) ** 0.5)
    torch.testing.assert_close(module(image), expected)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (specify("conv_5x5", (8, 9, 9), out_channels=8), "unknown operation conv_5x5"),
        (specify("conv_3x3", (8, 9, 9), channels=8), "params of .*channels"),
        (specify("conv_3x3", (8, 9, 9)), "params of .*out_channels"),
        (specify("add", (8, 9, 9), (8, 9, 8)), "two equal shapes"),
        (specify("add", (8, 9, 9)), "params of .*add"),
        (specify("deconv_3x3", (8, 9, 9), out_channels=8, height=20, width=17), "2n - 1 or 2n"),
        (specify("factorized_reduction", (8, 9, 9), out_channels=8, stride=1), "stride"),
    ],
    ids=str,
)
def test_specs_that_are_no_operation_are_refused(spec: OperationSpec, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_operation(spec)


def test_digest_covers_code_and_nothing_else() -> None:
    code = 'def f(x: int) -> int:\n    """Doc."""\n    return x + 1\n'
    same = '"""Module."""\n\n# why\ndef f(x: int) -> int:\n  """Other\n    words."""\n\n  return x+1  # so\n'
    assert definition(code) == definition(same)
    assert definition(code) != definition(code.replace("+ 1", "+ 2"))
    assert definition('x = "a b"\n') != definition('x = "ab"\n')
    assert definition("if a:\n    b\n    c\n") != definition("if a:\n    b\nc\n")


@pytest.mark.parametrize("name", ["operations.py", "fold.py"])
def test_definitions_hold_no_f_strings(name: str) -> None:
    """Python 3.12 began to split them into tokens: the digest would depend on the version."""
    tree = ast.parse((Path(lgcnet_search.__file__).parent / "space" / name).read_text("utf-8"))
    assert not [node.lineno for node in ast.walk(tree) if isinstance(node, ast.JoinedStr)]
