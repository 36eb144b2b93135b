"""The adaptive systems at their demonstrations' sizes, for what must hold for all of them."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from adaptive_networks.basisnet.plugin import space as basisnet
from adaptive_networks.basisnet.space import SETTINGS as BASISNET
from adaptive_networks.core.plugin import Choice, Plugin
from adaptive_networks.dance.plugin import space as dance
from adaptive_networks.dance.space import Space as Dance
from adaptive_networks.ddnn.plugin import space as ddnn
from adaptive_networks.ddnn.space import SETTINGS as DDNN
from adaptive_networks.enas4d.plugin import space as enas4d
from adaptive_networks.enas4d.space import SETTINGS as ENAS4D
from adaptive_networks.jitnet.plugin import space as jitnet
from adaptive_networks.jitnet.space import Space as Jitnet
from adaptive_networks.ranet.plugin import space as ranet
from adaptive_networks.ranet.space import SETTINGS as RANET
from adaptive_networks.vit_resnas.plugin import space as vit_resnas
from adaptive_networks.vit_resnas.space import DEMO as VIT_RESNAS


class System(NamedTuple):
    """A plugin, a small space of it and a network in that."""

    plugin: Plugin[Any]
    space: Any
    choice: Choice = ()


SYSTEMS: Mapping[str, System] = {
    "ranet": System(ranet, RANET["demo"]),
    "ddnn": System(ddnn, DDNN["demo"].space, (2, 1, 2)),
    "basisnet": System(basisnet, BASISNET["demo"]),
    "enas4d": System(enas4d, ENAS4D["demo"], (0, 1, 0, 1, 1, 1, 0, *[1, 0] * 12)),
    "dance": System(dance, Dance(height=48, width=64), (1,)),
    "jitnet": System(jitnet, Jitnet(height=48, width=64, classes=5)),
    "vit-resnas": System(
        vit_resnas, VIT_RESNAS, (0, *[0, 2, 3, 1, 1, 5], 3, *[0, 1, 4, 0, 0, 0], 4, *[0, 3, 1, 1, 2, 0])
    ),
}
