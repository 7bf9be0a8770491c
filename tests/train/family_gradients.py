"""python family_gradients.py BACKBONE...: for each a line with its name, and how far its gradients in float32 are from those in float64,
as a share of their norm; or how the process ended that computed them, for a wrong write ends it."""

import os
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))
import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402

from stages.model import create_model  # noqa: E402
from stages.train.cpu import prepare_for_cpu  # noqa: E402

SIZE = 64  # pixels, but where a family needs more
SIZES = {"halonet26t": 256, "inception_v3": 96}
SECONDS = 120


def distance(backbone: str) -> float:
    """The largest, over the parameters, of the distances between the two gradients; one that is nearly 0 counts by the whole gradient's norm."""
    torch.manual_seed(0)
    try:
        size = SIZES.get(backbone, SIZE)
        model = create_model(backbone, 3, image_size=size)
    except SystemExit:  # it only takes the size that it is published for
        model, size = create_model(backbone, 3), 224
    x, y = torch.randn(2, 3, size, size), torch.tensor([0, 2])
    gradients = []
    for dtype in (torch.float64, torch.float32):
        model.eval().to(dtype, memory_format=torch.channels_last if dtype == torch.float32 else torch.contiguous_format)
        if dtype == torch.float32:
            prepare_for_cpu(model, dtype)  # which changes float64's gradients too, from here on
        model.zero_grad()
        F.cross_entropy(model(x.to(dtype).contiguous(memory_format=torch.channels_last)), y).backward()
        gradients.append([parameter.grad.double() for parameter in model.parameters() if parameter.grad is not None])
    whole = torch.stack([right.norm() for right in gradients[0]]).norm()
    return max(float((found - right).norm() / (right.norm() + 1e-3 * whole)) for right, found in zip(*gradients, strict=True))


for backbone in sys.argv[1:]:
    child = os.fork()
    if not child:
        signal.alarm(SECONDS)
        torch.set_num_threads(1)
        print(backbone, distance(backbone), flush=True)
        os._exit(0)
    if status := os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]):
        print(backbone, "ended by", signal.Signals(-status).name if status < 0 else "a traceback", flush=True)
