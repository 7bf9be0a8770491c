"""What makes training steps on a CPU fast, and right: gradients of convolutions out of the kernels that oneDNN is fast at, or right.

oneDNN trains a depthwise convolution with vectorised kernels for weights at most 3 wide and, in bfloat16, without a stride. Otherwise it
falls back to kernels that take up to ten times as long (docs/performance.md). Both gradients can be had from the fast ones:

- of the input, for a stride s: the gradient of the output with s - 1 zeros between its elements, convolved with the turned weights;
- of the weights, for a width above 3: three columns at a time, each a convolution with a part of the padded input.

For a 1x1 convolution with a stride and 2 to 7 input channels, in channels_last memory and without AVX-512, oneDNN's gradient of the weights
writes beyond its buffer: a crash, a hang or wrong numbers. Such a convolution is one without a stride, of the pixels that the stride meets.
"""

import functools

import torch
import torch.nn.functional as F
from torch import Tensor, nn

WIDEST = 3  # columns of weights that the fast kernel takes
VECTOR = 8  # float32 numbers in a vector of AVX2: the input channels from which the strided 1x1 kernel stays in its buffer


def prepare_for_cpu(model: nn.Module, precision: torch.dtype) -> None:
    """Make the training steps of a model in channels_last memory faster on the CPU; what they compute stays the same up to rounding."""
    _replace_backward()
    if precision == torch.bfloat16:
        for module in model.modules():
            if getattr(module, "inplace", False):
                module.inplace = False  # type: ignore[assignment]  # in bfloat16 an activation in place takes three times as long as one into new memory


@functools.cache  # once a process; the library keeps the replacement as long as it is referenced
def _replace_backward() -> torch.library.Library:
    library = torch.library.Library("aten", "IMPL")
    library.impl("convolution_backward", _backward, "CPU")
    return library


def _backward(grad, x, weight, bias_sizes, stride, padding, dilation, transposed, output_padding, groups, mask):
    """aten::convolution_backward: the gradients of input, weights and bias, each None unless its place in mask is true."""
    depthwise = x.ndim == 4 and 1 < groups == x.shape[1] == weight.shape[0] and not transposed and set(dilation) == {1}
    thin = x.ndim == 4 and groups == 1 and weight.shape[1] < VECTOR and {*weight.shape[2:]} == {1} and not transposed and max(stride) > 1
    want_input, want_weight, want_bias = mask
    grad_input = grad_weight = None
    if thin and want_weight:
        grad_weight, want_weight = _thin_weight_gradient(grad, x, weight, stride, padding), False
    if depthwise and want_input and x.dtype == torch.bfloat16 and max(stride) > 1:
        grad_input, want_input = _input_gradient(grad, x, weight, stride, padding), False
    if depthwise and want_weight and weight.shape[-1] > WIDEST:
        grad_weight, want_weight = _weight_gradient(grad, x, weight, stride, padding), False
    rest = _native(
        *(grad, x, weight, bias_sizes, stride, padding, dilation, transposed, output_padding, groups),
        [want_input, want_weight, want_bias],
    )
    return grad_input if grad_input is not None else rest[0], grad_weight if grad_weight is not None else rest[1], rest[2]


def _native(*arguments) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    if not any(arguments[-1]):
        return None, None, None
    return torch.ops.aten.convolution_backward.default._op_dk(torch._C.DispatchKey.CompositeExplicitAutograd, *arguments)


def _input_gradient(grad: Tensor, x: Tensor, weight: Tensor, stride: list[int], padding: list[int]) -> Tensor:
    high, wide = (side + 2 * pad - kernel + 1 for side, pad, kernel in zip(x.shape[2:], padding, weight.shape[2:], strict=True))
    spread = torch.empty((*grad.shape[:2], high, wide), dtype=grad.dtype, memory_format=torch.channels_last).zero_()
    spread[..., :: stride[0], :: stride[1]] = grad
    around = [kernel - 1 - pad for kernel, pad in zip(weight.shape[2:], padding, strict=True)]
    return F.conv2d(spread, weight.flip(-1, -2), None, 1, around, 1, x.shape[1])


def _thin_weight_gradient(grad: Tensor, x: Tensor, weight: Tensor, stride: list[int], padding: list[int]) -> Tensor | None:
    met = _padded(x, padding)[..., :: stride[0], :: stride[1]].contiguous(memory_format=torch.channels_last)
    return _native(grad, met, weight, None, [1, 1], [0, 0], [1, 1], False, [0, 0], 1, [False, True, False])[1]


def _weight_gradient(grad: Tensor, x: Tensor, weight: Tensor, stride: list[int], padding: list[int]) -> Tensor:
    x = _padded(x, padding)
    reach = (grad.shape[-1] - 1) * stride[1]
    parts: list[Tensor] = []
    for columns in weight.split(WIDEST, -1):
        first = sum(part.shape[-1] for part in parts)
        seen = x[..., first : first + reach + columns.shape[-1]]
        geometry = (stride, [0, 0], [1, 1], False, [0, 0], x.shape[1])
        parts.append(_native(grad, seen, columns.contiguous(), None, *geometry, [False, True, False])[1])  # type: ignore[arg-type]
    return torch.cat(parts, -1)


def _padded(x: Tensor, padding: list[int]) -> Tensor:
    return F.pad(x, (padding[1], padding[1], padding[0], padding[0])) if any(padding) else x
