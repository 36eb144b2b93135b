"""adaptive-networks vit-resnas: train a super-network of transformers, search members in it, and train those alone."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated

import typer

from adaptive_networks.commands.searching import Member, SearchOptions, found_members, save_members
from adaptive_networks.commands.training import ScheduleOptions, Training, commands
from adaptive_networks.core.images import Judged, judge_part
from adaptive_networks.core.mixing import MixedLoss
from adaptive_networks.core.plugin import Choice
from adaptive_networks.core.record import Record
from adaptive_networks.core.staged import StagedNetwork
from adaptive_networks.vit_resnas.plugin import space as plugin
from adaptive_networks.vit_resnas.space import SETTINGS, Network
from adaptive_networks.vit_resnas.supernet import Transformer
from lgcnet_search.space.network import seeded


@dataclass(frozen=True)
class TransformerOptions(SearchOptions):
    """How the super-network is trained, and what is found in it."""

    group: Annotated[int, typer.Option(min=1, help="Images of a batch that one member is trained with.")] = 16
    dropped: Annotated[float, typer.Option(min=0, max=0.9, help="Stochastic depth of the last block.")] = 0.0
    alone: Annotated[
        float, typer.Option(min=0, help="Epochs that what is found is trained alone; 0: it keeps its shared weights.")
    ] = 2


def trained(training: Training[TransformerOptions]) -> Record:
    """Train a super-network and what is found in it; or a network of the authors alone.

    With a device at hand it is searched under ceilings; else the largest and the smallest member are taken as they are.
    """
    setting, own = training.chosen(SETTINGS), training.own
    space, choice = setting if isinstance(setting, Network) else (setting, ())
    images = training.read(space.side, space.classes)
    with training.how.begun() as computing:

        def fitted(name: str, choice: Choice = (), group: int = 0, epochs: float = 0) -> Transformer:
            schedule = training.schedule((), 0.05, epochs, cosine=True, warm_up=1 / 24, adamw=True)
            with seeded(training.how.seed):
                network = Transformer(space, schedule.steps, training.how.seed, own.dropped, choice, group)
            training.fit(plugin, network, images, schedule, MixedLoss(), computing, name)
            return network

        whole = fitted("training", choice, 0 if choice else own.group)

        @cache
        def held_out(choice: Choice) -> Judged:
            return judge_part(whole.member(choice), images.held_out, computing)

        @cache
        def alone(choice: Choice) -> StagedNetwork:
            name = f"alone {plugin.network(space, 0, choice).digest[:6]}"
            return fitted(name, choice, epochs=own.alone).body.network

        def deployed(member: Member) -> StagedNetwork:
            searched = member.ceiling_us is not None
            return alone(member.choice) if searched and own.alone else whole.member(member.choice)

        members = [Member("alone", training.setting, choice)]
        if not choice:
            members = found_members(training, plugin, space, held_out)
        return save_members(training, plugin, space, whole.body.network, images, computing, members, deployed)


cli = commands(
    trained,
    ScheduleOptions(batch=64, lr=1e-3, epochs=4),
    TransformerOptions(generations=7, population=30, floor=0.9, predicted=20),
    Path("runs/vit-resnas"),
    __doc__,
)
