"""Classifiers that are fitted to the features of a frozen network and not trained with it: model.head svm and knn.

Each stands where the network's linear classifier was, [N, F] -> logits [N, K], and consists of buffers, which stages/train/fit.py
fills. They compute in float64, which autocast leaves alone, so that the decision is scikit-learn's. Distances are between
features divided by their deviation over the training pictures; their mean makes no difference to a distance.
"""

import torch
from torch import Tensor, nn


class Head(nn.Module):
    """Buffers whose sizes are those of the state that is loaded: how many pictures they hold, the data decide."""

    points: Tensor
    scale: Tensor

    def __init__(self, features: int):
        super().__init__()
        self.register_buffer("points", torch.empty(0, features))
        self.register_buffer("scale", torch.ones(features, dtype=torch.float64))
        self.register_load_state_dict_pre_hook(_take_on_shapes)

    def squared_distances(self, features: Tensor) -> Tensor:
        """float64 [N, P]: between features [N, F] and the points, in standard deviations."""
        x, points = features.double() / self.scale, self.points.double() / self.scale
        return (x.square().sum(1, keepdim=True) - 2 * x @ points.T + points.square().sum(1)).clamp(min=0)


class SupportVectorMachine(Head):
    """One support vector machine with a Gaussian kernel a class, against the rest; the logits are their margins.

    points [P, F]: the support vectors of all of them; coefficients [K, P], intercepts [K]; gamma [1], the kernel's.
    Margins are no probabilities of any kind: stages/calibrate finds the temperature that makes them some.
    """

    coefficients: Tensor
    intercepts: Tensor
    gamma: Tensor

    def __init__(self, features: int, classes: int):
        super().__init__(features)
        self.register_buffer("coefficients", torch.empty(classes, 0, dtype=torch.float64))
        self.register_buffer("intercepts", torch.zeros(classes, dtype=torch.float64))
        self.register_buffer("gamma", torch.ones(1, dtype=torch.float64))

    def forward(self, features: Tensor) -> Tensor:
        return (self.kernel(features) @ self.coefficients.T + self.intercepts).float()

    def kernel(self, features: Tensor) -> Tensor:
        """float64 [N, P]."""
        return (-self.gamma * self.squared_distances(features)).exp()


class NearestNeighbours(Head):
    """A vote of the nearest training pictures; the logits are the logarithms of the votes and of one more, shared by all classes.

    points [P, F]: the training pictures; votes [P, K]: what each says, 1 for its class unless pictures are weighted;
    neighbours [k]: zeros, as many as vote.

    Votes have no gradient. The one that Grad-CAM gets is that of the closeness of those who voted for a class.
    """

    votes: Tensor
    neighbours: Tensor

    def __init__(self, features: int, classes: int):
        super().__init__(features)
        self.register_buffer("votes", torch.empty(0, classes, dtype=torch.float64))
        self.register_buffer("neighbours", torch.zeros(0))

    def forward(self, features: Tensor) -> Tensor:
        distances, nearest = self.squared_distances(features).topk(len(self.neighbours), largest=False)
        votes = self.votes[nearest]
        closeness = -(distances[..., None] * votes).sum(1)
        return (votes.sum(1) + 1 / votes.shape[2] + (closeness - closeness.detach())).log().float()


HEADS = {"svm": SupportVectorMachine, "knn": NearestNeighbours}


def _take_on_shapes(head: Head, state: dict[str, Tensor], prefix: str, *_) -> None:
    for name, buffer in head.named_buffers():
        if prefix + name in state:
            setattr(head, name, buffer.new_empty(state[prefix + name].shape))
