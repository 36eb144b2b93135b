"""A genotype: the width and the blocks of every stage, and the space it belongs to."""

import random

from pydantic import model_validator

from latency_tables.contract import Contract

from .space import BLOCKS, SKIP, STAGES, Space


class StageChoice(Contract):
    """One of the space's widths, and a name of BLOCKS or SKIP for each block."""

    width: float
    blocks: tuple[str, ...]


class Genotype(Contract):
    """A network of a space. Raises ValueError naming field and value where it is none."""

    space: Space
    stages: tuple[StageChoice, ...]

    @model_validator(mode="after")
    def _check(self) -> "Genotype":
        if len(self.stages) != len(STAGES):
            raise ValueError(f"stages: {len(self.stages)} given, the space has {len(STAGES)}")
        for index, stage in enumerate(self.stages):
            if stage.width not in self.space.widths:
                raise ValueError(f"stages[{index}].width: {stage.width} is none of {self.space.widths}")
            if len(stage.blocks) != self.space.blocks(index):
                raise ValueError(
                    f"stages[{index}].blocks: {len(stage.blocks)} given, the stage has {self.space.blocks(index)}"
                )
            for number, block in enumerate(stage.blocks):
                names = (*BLOCKS, SKIP) if number else BLOCKS
                if block not in names:
                    raise ValueError(f"stages[{index}].blocks[{number}]: {block!r} is none of {', '.join(names)}")
        return self


def random_genotype(space: Space, seed: int) -> Genotype:
    """Every width and every block equally likely, skipping as likely as any one block."""
    generator = random.Random(seed)
    return Genotype(
        space=space,
        stages=tuple(
            StageChoice(
                width=generator.choice(space.widths),
                blocks=tuple(
                    generator.choice((*BLOCKS, SKIP) if number else BLOCKS) for number in range(space.blocks(index))
                ),
            )
            for index in range(len(STAGES))
        ),
    )
