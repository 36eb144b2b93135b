"""How well a network predicts with the weights that it inherits from a supernet."""

from collections.abc import Sequence

import torch

from lgcnet_search.computing.batches import Batch
from lgcnet_search.computing.how import ALONE, Computing
from lgcnet_search.data.labels import LabelTable
from lgcnet_search.search.inherited import inherited
from lgcnet_search.search.supernet import Supernet
from lgcnet_search.space.genotype import Genotype
from lgcnet_search.training.evaluate import Confusion, Scores
from lgcnet_search.training.recalibrate import recalibrate


class InheritedAccuracy:
    """Scores of networks with a supernet's weights, BatchNorm's statistics taken anew for each.

    A supernet's running statistics are of all paths mixed and mislead every one of them. `statistics` are batches of
    whole pictures for that, `judged` those that the scores are of, labels at the pictures' size; both as the supernet
    takes them, and best none that it was trained on among `judged`.
    """

    def __init__(
        self,
        supernet: Supernet,
        statistics: Sequence[Batch],
        judged: Sequence[Batch],
        labels: LabelTable,
        computing: Computing = ALONE,
    ) -> None:
        self.supernet = supernet
        self.statistics = statistics
        self.judged = judged
        self.labels = labels
        self.computing = computing

    @torch.no_grad()
    def __call__(self, genotype: Genotype) -> Scores:
        network = inherited(self.supernet, genotype)
        recalibrate(network, self.statistics, self.computing)
        confusion = Confusion(self.labels, self.computing)
        for batch in self.judged:
            images, targets = self.computing.on_device(batch)
            with self.computing.autocast():
                logits = network(images)
            confusion.update(logits.float().argmax(dim=1), targets)
        return confusion.scores(sum(len(images) for images, _ in self.judged))
