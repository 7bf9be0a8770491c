"""The replaced backward pass of convolutions: the gradients of the plain formula, and in less time."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from stages.model import create_model
from stages.train.cpu import _backward, _native, prepare_for_cpu

CASES = [  # height, width, weights, stride, padding
    *[(12, 12, (k, k), (s, s), (p, p)) for k in (3, 5, 7) for s in (1, 2) for p in (0, k // 2)],
    (11, 14, (5, 3), (2, 1), (2, 0)),
    (13, 10, (3, 4), (3, 2), (1, 3)),
    (4, 4, (5, 5), (1, 1), (2, 2)),
    (9, 9, (2, 6), (2, 2), (0, 1)),
]


def by_formula(x, weight, bias, grad, stride, padding):
    """Gradients in float64 of the sum over the patches, which is what a depthwise convolution is."""
    x, weight, bias = (tensor.detach().double().requires_grad_() for tensor in (x, weight, bias))
    patches = F.unfold(x, weight.shape[2:], 1, padding, stride).view(len(x), x.shape[1], -1, grad[0, 0].numel())
    y = (patches * weight.view(1, len(weight), -1, 1)).sum(2) + bias.view(1, -1, 1)
    return torch.autograd.grad(y, (x, weight, bias), grad.double().flatten(2))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("height", "width", "kernel", "stride", "padding"), CASES)
def test_gradients_are_those_of_the_formula(height, width, kernel, stride, padding, dtype):
    prepare_for_cpu(torch.nn.Identity(), dtype)
    torch.manual_seed(0)
    x = torch.randn(2, 16, height, width, dtype=dtype).contiguous(memory_format=torch.channels_last).requires_grad_()
    weight, bias = torch.randn(16, 1, *kernel, dtype=dtype).requires_grad_(), torch.randn(16, dtype=dtype).requires_grad_()
    y = F.conv2d(x, weight, bias, stride, padding, groups=16)
    grad = torch.randn_like(y)
    expected = by_formula(x, weight, bias, grad, stride, padding)
    for found, right in zip(torch.autograd.grad(y, (x, weight, bias), grad), expected, strict=True):
        assert found.dtype == dtype and found.shape == right.shape
        assert (found.double() - right).norm() < (1e-5 if dtype == torch.float32 else 1e-2) * right.norm()


@pytest.mark.parametrize(("groups", "dilation"), [(1, 1), (4, 1), (16, 2)])
def test_other_convolutions_keep_their_gradients(groups, dilation):
    torch.manual_seed(0)
    x, weight = torch.randn(2, 16, 12, 12), torch.randn(16, 16 // groups, 5, 5)
    grad = torch.randn_like(F.conv2d(x, weight, None, 2, 2, dilation, groups))
    arguments = (grad, x, weight, None, [2, 2], [2, 2], [dilation] * 2, False, [0, 0], groups, [True, True, False])
    for found, right in zip(_backward(*arguments)[:2], _native(*arguments)[:2], strict=True):
        assert torch.equal(found, right)


# A small backbone of every family; those without one below 100 million parameters are left out.
FAMILIES = """
    halonet26t mobileone_s0 repvgg_a0 gernet_l cait_xxs24_224 coat_lite_tiny convit_tiny convmixer_768_32 convnext_atto cpubone_t0 crossvit_tiny_240
    csatv2 cspresnet50 darknet17 cspnext_tiny davit_tiny deit_tiny_patch16_224 densenet121 dla34 dpn68 edgenext_xx_small efficientformer_l1
    efficientformerv2_s0 tf_efficientnet_lite0 efficientnet_b0 mixnet_s efficientvim_m1 efficientvit_b0 efficientvit_m0 eva02_tiny_patch14_224
    fasternet_t0 fastvit_t8 focalnet_tiny_srf gcvit_xxtiny ghostnet_050 hardcorenas_a hgnetv2_b0 hiera_tiny_224 hrnet_w18_small iformer_s
    inception_next_atto inception_v3 lcnetv2_small levit_128 lowformer_b0 test_mambaout test_maxvit test_coatnet caformer_s18 gmixer_12_224
    mobilenetv3_small_050 mobilevit_xxs mobilevitv2_050 mvitv2_tiny nest_tiny nextvit_small test_nfnet pit_xs_224 pvt_v2_b0 rdnet_tiny regnetx_002
    repghostnet_050 repvit_m1 res2net50d resnest14d resnet18 resnetv2_18 rexnet_100 selecsls42 legacy_seresnet18 sequencer2d_s shvit_s1
    skresnet18 starnet_s050 swiftformer_xs swin_tiny_patch4_window7_224 swinv2_cr_tiny_224 tiny_vit_5m_224 tnt_s_patch16_224 twins_svt_small
    vgg11 visformer_tiny test_vit vit_tiny_r_s16_p8_224 test_vit_relpos vitamin_small_224 volo_d1_224 vovnet39a legacy_xception xception41
    xcit_nano_12_p8_224 torchvision.alexnet torchvision.squeezenet1_1 torchvision.shufflenet_v2_x0_5 torchvision.mnasnet0_5
    torchvision.googlenet torchvision.mobilenet_v2 torchvision.convnext_tiny torchvision.swin_t keras_cnn keras_resnet50
""".split()
WITH_A_THIN_CONVOLUTION = {"mobileone_s0", "repvgg_a0", "fastvit_t8"}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="each network has a process of its own, since a wrong write ends it")
@pytest.mark.parametrize("isa", ["DEFAULT", "AVX2"])
def test_every_family_gets_the_gradients_of_float64(isa):
    chosen = FAMILIES if isa == "AVX2" else sorted(WITH_A_THIN_CONVOLUTION)
    command = [sys.executable, Path(__file__).with_name("family_gradients.py"), *chosen]
    ended = subprocess.run(command, env=os.environ | {"ONEDNN_MAX_CPU_ISA": isa}, capture_output=True, text=True)
    found = dict(line.split(" ", 1) for line in ended.stdout.splitlines())
    assert found.keys() == set(chosen), ended.stderr
    wrong = {name: told for name, told in found.items() if told.startswith("ended") or not float(told) < 1e-2}
    assert not wrong, ended.stderr


THIN = [
    (channels, kernel, stride, padding)
    for channels in (1, 2, 3, 5, 7)
    for kernel, stride, padding in [(1, 2, 0), (1, 3, 1), (1, (1, 2), 0)]
]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("channels", "kernel", "stride", "padding"), THIN)
def test_a_thin_strided_convolution_gets_the_gradients_of_float64(channels, kernel, stride, padding, dtype):
    prepare_for_cpu(torch.nn.Identity(), dtype)
    torch.manual_seed(0)
    x = torch.randn(2, channels, 13, 10, dtype=dtype).contiguous(memory_format=torch.channels_last).requires_grad_()
    weight, bias = torch.randn(8, channels, kernel, kernel, dtype=dtype).requires_grad_(), torch.randn(8, dtype=dtype).requires_grad_()
    y = F.conv2d(x, weight, bias, stride, padding)
    grad = torch.randn_like(y)
    exact = [tensor.detach().double().requires_grad_() for tensor in (x, weight, bias)]
    step, pad = (stride, stride) if isinstance(stride, int) else stride, (padding,) * 4
    by_hand = torch.einsum("nchw,oc->nohw", F.pad(exact[0], pad)[..., :: step[0], :: step[1]], exact[1][..., 0, 0]) + exact[2].view(
        -1, 1, 1
    )
    expected = torch.autograd.grad(by_hand, exact, grad.double())
    for found, right in zip(torch.autograd.grad(y, (x, weight, bias), grad), expected, strict=True):
        assert found.dtype == dtype and found.shape == right.shape
        assert (found.double() - right).norm() < (1e-5 if dtype == torch.float32 else 1e-2) * right.norm()


def test_a_whole_network_gets_the_gradients_of_float32():
    torch.manual_seed(0)
    model = create_model("tf_efficientnet_lite0", 3).eval().to(memory_format=torch.channels_last)
    prepare_for_cpu(model, torch.bfloat16)
    assert torch._C._dispatch_has_kernel_for_dispatch_key("aten::convolution_backward", "CPU")
    x, y, gradients = torch.randn(4, 3, 64, 64), torch.tensor([0, 1, 2, 0]), []
    for precision in (torch.float32, torch.bfloat16):
        with torch.autocast("cpu", precision, enabled=precision == torch.bfloat16):
            loss = F.cross_entropy(model(x).float(), y)
        model.zero_grad()
        loss.backward()
        gradients.append({name: parameter.grad.flatten() for name, parameter in model.named_parameters() if parameter.ndim > 1})
    for name, right in gradients[0].items():
        assert torch.cosine_similarity(gradients[1][name], right, dim=0) > 0.85, name  # of a network that knows nothing


@pytest.mark.skipif(not torch.cpu.get_capabilities().get("avx512_bf16", False), reason="the CPU does not multiply bfloat16")
@pytest.mark.parametrize(("side", "kernel", "stride", "padding"), [(33, 3, 2, 0), (14, 5, 1, 2)])
def test_the_strided_and_the_wide_are_faster(side, kernel, stride, padding):
    x = torch.randn(16, 240, side, side).bfloat16().contiguous(memory_format=torch.channels_last)
    weight = torch.randn(240, 1, kernel, kernel).bfloat16()
    grad = torch.randn_like(F.conv2d(x, weight, None, stride, padding, 1, 240))
    arguments = (grad, x, weight, None, [stride] * 2, [padding] * 2, [1, 1], False, [0, 0], 240, [True, True, False])
    assert seconds(_backward, arguments) < 0.7 * seconds(_native, arguments)


def seconds(function, arguments) -> float:
    times = []
    for _ in range(4):
        begin = time.process_time()
        function(*arguments)
        times.append(time.process_time() - begin)
    return min(times)
