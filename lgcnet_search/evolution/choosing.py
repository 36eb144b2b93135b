"""The network that a search by gradient ends with: the most accurate of those that its α draws."""

from collections.abc import Callable
from dataclasses import replace

import torch

from lgcnet_search.computing.how import Computing
from lgcnet_search.data.sources import DataFolder
from lgcnet_search.evolution import pictures
from lgcnet_search.evolution.inherited import InheritedAccuracy
from lgcnet_search.search.architecture import Architecture
from lgcnet_search.search.ceiling import Ceiling, within_ceiling
from lgcnet_search.search.gumbel import gumbel
from lgcnet_search.search.search import Judged, SearchResult, SearchSettings, StepRecord
from lgcnet_search.search.targets import Target
from lgcnet_search.space.genotype import Genotype
from lgcnet_search.space.latencies import Latencies
from lgcnet_search.space.network import network_spec
from lgcnet_search.space.space import Space
from lgcnet_search.training.evaluate import Scores

OnNetwork = Callable[[int], None]
"""Called with how many networks are judged."""
TRIES = 4
"""Networks drawn for each that is asked for: where α has decided, most are drawn again and again."""


def search_by_gradient(
    target: Target,
    space: Space,
    proxy: Space,
    data: DataFolder,
    batch: int,
    settings: SearchSettings,
    draws: int,
    computing: Computing,
    save_every: int,
    *,
    on_step: Callable[[StepRecord], None] | None = None,
    on_architecture: Callable[[int, Architecture], None] | None = None,
    on_network: OnNetwork | None = None,
) -> SearchResult:
    """Search by Eq. 10, then choose among `draws` networks; with one draw, the most likely network is found.

    Networks are judged by one training picture in five, which the supernet is then not trained on. Shared cells only
    change together, so the most likely network is found there, too. Raises what `Target.search` raises.
    """
    held_back = draws > 1 and not settings.shared_cells
    result = target.search(
        space,
        proxy,
        data,
        batch,
        settings,
        computing,
        save_every,
        on_step=on_step,
        on_architecture=on_architecture,
        crops=pictures.trained_on(data, space, proxy, settings.seed) if held_back else None,
    )
    if not held_back:
        return result
    accuracy = InheritedAccuracy(
        result.supernet,
        pictures.statistics(data, proxy, batch, settings.seed, computing),
        pictures.judged(data, proxy, batch, computing),
        data.labels,
        computing,
    )
    return choose(result, target.latencies, accuracy, draws, on_network)


def choose(
    result: SearchResult,
    latencies: Latencies,
    accuracy: Callable[[Genotype], Scores],
    draws: int,
    on_network: OnNetwork | None = None,
    *,
    enough: Callable[[], bool] = lambda: False,
) -> SearchResult:
    """The result with the most accurate of `draws` networks, by the weights that they inherit.

    After each network, none is judged any more if it is `enough`, as by the time that has passed.

    α that has hardly decided after a short search says little by its largest values, while the weights behind it tell
    networks apart. The first network is the most likely one, so one draw changes nothing. `accuracy` is best by
    pictures that the supernet was not trained on. Raises CeilingTooLow, MissingRows.
    """
    judged = []
    for genotype in drawn(result, latencies, draws):
        judged.append(Judged(genotype, accuracy(genotype).miou, latencies.network_us(network_spec(genotype))))
        if on_network:
            on_network(len(judged))
        if enough():
            break
    best = max(judged, key=lambda network: (network.miou, -network.predicted_us))
    return replace(result, genotype=best.genotype, predicted_us=best.predicted_us, judged=tuple(judged))


def drawn(result: SearchResult, latencies: Latencies, count: int) -> list[Genotype]:
    """The most likely network, then others that Softmax(α') draws (Gumbel-max), each once, `count` of them at most.

    Under a ceiling, each is brought below it as the most likely one is.
    """
    space, settings = result.genotype.space, result.settings
    ceiling = (
        None
        if settings.ceiling_us is None
        else Ceiling.reachable(space, latencies, settings.ceiling_us, settings.quantile)
    )
    generator = torch.Generator().manual_seed(settings.seed)
    networks: dict[str, Genotype] = {}
    for number in range(TRIES * count):
        rows = result.log_alpha
        if number:
            rows = {
                name: row + gumbel(torch.rand(row.shape, generator=generator, dtype=torch.float64))
                for name, row in rows.items()
            }
        if ceiling is None:
            best = {edge.name: edge.names[int(rows[edge.name].argmax())] for edge in space.graph.edges}
            genotype = Genotype.of(space, best)
        else:
            genotype = within_ceiling(space, rows, latencies, ceiling)
        networks.setdefault(genotype.to_json(), genotype)
        if len(networks) == count:
            break
    return list(networks.values())
