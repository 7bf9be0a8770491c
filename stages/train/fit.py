"""Heads that are fitted and not trained: a support vector machine or the nearest neighbours, on what a frozen network makes of pictures."""

from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from torch import Tensor, nn

from stages.heads import Head, NearestNeighbours, SupportVectorMachine
from stages.params import Train
from stages.train.data import Images, Rows
from stages.train.frozen import Activations
from stages.train.loop import Progress, score

COSTS = (0.1, 1.0, 10.0, 100.0)  # C of the support vector machines, and
NEIGHBOURS = (1, 3, 5, 9, 15, 25)  # how many vote: each is tried, the validation pictures choose
BATCH = 256  # pictures a pass through a head


class Features:
    """What comes to the heads of all folds: the network runs anew only if it is another one than in the fold before."""

    def __init__(self, images: Images, rows: Tensor, precision: torch.dtype):
        """rows are those of the pixel array that any fold trains on or validates with."""
        self.images, self.rows = images, rows
        self.autocast = torch.autocast(images.device.type, precision, enabled=precision != torch.float32)
        self.network: dict[str, Tensor] = {}
        self.activations: Activations | None = None

    def of(self, model: nn.Module, head: Head) -> Activations:
        """[N, F] for any rows: of the pictures as they are, without dropout."""
        heads = {id(buffer) for buffer in head.buffers()}
        network = {name: tensor for name, tensor in model.state_dict(keep_vars=True).items() if id(tensor) not in heads}
        if self.activations is None or any(not torch.equal(tensor, self.network[name]) for name, tensor in network.items()):
            self.network, self.activations = network, None  # frees the memory first
            seen = []
            hook = head.register_forward_pre_hook(lambda _, inputs: seen.append(inputs))

            def run(x: Tensor) -> tuple[Tensor]:
                model(x)
                return seen.pop()

            model.eval()
            with self.autocast, torch.no_grad():
                self.activations = Activations(self.images, self.rows, run)
            hook.remove()
        return self.activations


@torch.no_grad()
def fit_fold(model: nn.Module, features: Features, train: Rows, validation: Rows, params: Train, fold: int) -> Progress:
    """Fit the head of a model that is already on the device; the setting with the best validation macro-F1 stays in it.

    A picture counts in the fit as much as its sampling weight says.
    There is a single epoch, and no weights beside the model's.
    """
    head = next(module for module in model.modules() if isinstance(module, (SupportVectorMachine, NearestNeighbours)))
    activations = features.of(model, head)
    (x,), (y,) = (activations.plain(part.rows) for part in (train, validation))
    weights = train.weights / train.weights.mean()
    if isinstance(head, SupportVectorMachine):
        settings = fit_machines(head, x, train.labels, weights)
    else:
        settings = fit_neighbours(head, x, train.labels, weights)

    tried = []
    for setting, state in settings:
        head.load_state_dict(state)
        tried.append((setting, state, score(_logits(head, y), validation.labels)))
    setting, state, scores = max(tried, key=lambda one: (one[2]["validation_macro_f1"], -one[2]["validation_loss"]))
    head.load_state_dict(state)
    train_loss = float(F.cross_entropy(_logits(head, x), train.labels))
    print(f"fold {fold}: {setting}, loss {train_loss:.4f}, macro-F1 {scores['validation_macro_f1']:.4f}")
    return Progress([{"epoch": 1, "train_loss": train_loss, **scores, "learning_rate": 0.0, "kept": True}])


def fit_machines(head: SupportVectorMachine, x: Tensor, labels: Tensor, weights: Tensor) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """Each setting, and what it makes the head's state; x [N, F], on the head's device, labels and weights [N]."""
    scale = _deviations(x)
    gamma = 1 / (x.double() / scale).var(0, correction=0).sum()  # scikit-learn's gamma="scale"
    state = {"points": x.float(), "scale": scale, "gamma": gamma.view(1)}
    # The kernel is the same for all machines.
    head.load_state_dict(head.state_dict() | state)
    kernel = head.kernel(x).cpu().numpy()
    for cost in COSTS:
        machines = [SVC(C=cost, kernel="precomputed").fit(kernel, labels == k, weights) for k in range(len(head.intercepts))]
        coefficients = np.zeros((len(machines), len(x)))
        for row, machine in zip(coefficients, machines, strict=True):
            row[machine.support_] = machine.dual_coef_[0]
        used = coefficients.any(0)
        vectors = {
            "points": state["points"][torch.from_numpy(used).to(x.device)],
            "coefficients": torch.from_numpy(coefficients[:, used]),
            "intercepts": torch.from_numpy(np.concatenate([machine.intercept_ for machine in machines])),
        }
        yield f"C {cost:g}", state | vectors


def fit_neighbours(head: NearestNeighbours, x: Tensor, labels: Tensor, weights: Tensor) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """The same."""
    votes = F.one_hot(labels, head.votes.shape[1]) * weights[:, None]
    state = {"points": x.float(), "scale": _deviations(x), "votes": votes}
    for count in NEIGHBOURS:
        if count <= len(x):
            yield f"{count} neighbours", state | {"neighbours": torch.zeros(count)}


def _deviations(x: Tensor) -> Tensor:
    scaler = StandardScaler().fit(x.double().cpu().numpy())  # whose deviation is 1 where a feature never changes
    return torch.from_numpy(scaler.scale_).to(x.device)


def _logits(head: Head, x: Tensor) -> Tensor:
    return torch.cat([head(part) for part in x.split(BATCH)]).cpu()
