"""The derived backbone with a classification head: what is pretrained on ImageNet."""

from dataclasses import replace

from torch import Tensor, nn

from lgcnet_search.space.genotype import Genotype
from lgcnet_search.space.network import StepNetwork
from lgcnet_search.space.operations import output_shape


class ImageClassifier(StepNetwork):
    """Stem and cells of a genotype at height × width, global average pooling and one linear layer.

    The backbone's weights have the names that they have in the derived network.
    """

    def __init__(self, genotype: Genotype, classes: int, height: int = 224, width: int = 224) -> None:
        genotype = genotype.at(replace(genotype.space, height=height, width=width))
        steps = genotype.space.graph.derive(genotype.choices)
        last = f"cell{genotype.space.cells - 1}.out"
        end = next(index for index, step in enumerate(steps) if step.name == last) + 1
        super().__init__(genotype, steps[:end])
        self.classify = nn.Linear(output_shape(steps[end - 1].operation)[0], classes)

    def forward(self, images: Tensor) -> Tensor:
        """N×3×height×width to logits N×classes."""
        logits: Tensor = self.classify(super().forward(images).mean(dim=(2, 3)))
        return logits

    def backbone(self) -> dict[str, Tensor]:
        """The state of everything but the head."""
        return {name: value for name, value in self.state_dict().items() if not name.startswith("classify.")}
