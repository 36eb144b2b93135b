"""One update: soft and hard, in parts, in lower precision, with less memory."""

from dataclasses import replace

import pytest
import torch

from lgcnet_search.computing.how import ALONE, Amp, Computing
from lgcnet_search.computing.processes import Processes
from lgcnet_search.search.gumbel import one_hot
from lgcnet_search.search.search import SearchRun, SearchSettings
from lgcnet_search.search.supernet import Supernet
from lgcnet_search.search.update import Sampling
from lgcnet_search.space.latencies import Latencies
from lgcnet_search.space.operations import Operation
from tests.support.tiny_search import PROXY, TABLE, assert_near, batches, shared
from tests.support.tiny_spaces import TINY, random_z


def make(computing: Computing = ALONE, **changes: object) -> SearchRun:
    settings = replace(SearchSettings(steps=20, warm_up=0), **changes)  # type: ignore[arg-type]
    return SearchRun(TINY, PROXY, Latencies(TABLE), settings, computing)


def candidates_run(run: SearchRun) -> set[str]:
    """Names of the candidates that a step runs."""
    seen: set[str] = set()
    searched = {edge.name for edge in PROXY.graph.edges}
    for name, module in run.supernet.named_modules():
        if isinstance(module, Operation) and name.rpartition(".")[0] in searched:
            module.register_forward_hook(lambda *_, name=name: seen.add(name))
    run.step([next(batches())])
    return seen


def test_hard_runs_one_candidate_of_each_edge_and_soft_all_of_them() -> None:
    sampled = candidates_run(make(sampling="hard"))
    edges = [name.rpartition(".")[0] for name in sampled]
    assert len(edges) == len(set(edges))
    assert len(edges) > len(PROXY.up_edges) + len(PROXY.fusion_edges)
    everything = {
        f"{edge.name}.{name}" for edge in PROXY.graph.edges for name, operation in edge.candidates.items() if operation
    }
    assert candidates_run(make(sampling="soft")) == everything


def test_hard_gradient_is_the_straight_through_one() -> None:
    """∂(CE + β log LAT)/∂z at the one-hot z, CE's kept for the sampled candidates, through the relaxation to α."""
    run = make(sampling="hard", beta=0.7, alpha_decay=0.0)
    images, targets = next(batches())
    noise = torch.Generator().manual_seed(run.settings.seed)
    z = run.architecture.sample(1.0, noise)
    leaf = z.map(lambda rows: one_hot(rows).requires_grad_())
    ce = torch.nn.functional.cross_entropy(run.supernet(images, leaf), targets, ignore_index=255)
    of_ce = torch.autograd.grad(ce, leaf)
    of_latency = torch.autograd.grad(run.settings.beta * run.update.latency(leaf).log(), leaf)
    for sampled, gradient_of_ce in zip(leaf, of_ce, strict=True):
        assert (gradient_of_ce[sampled == 0] == 0).all()
        assert (gradient_of_ce[sampled == 1] != 0).any()
    parameters = list(run.architecture.parameters())
    both = [left + right for left, right in zip(of_ce, of_latency, strict=True)]
    expected = torch.autograd.grad(list(z), parameters, both)
    run.step([(images, targets)])
    for parameter, gradient in zip(parameters, expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient)


def test_a_candidate_without_weight_changes_nothing() -> None:
    """What is skipped at z = 0 is what would have been multiplied by it."""
    torch.manual_seed(0)
    supernet = Supernet(PROXY).eval()
    images, _ = next(batches())
    z = random_z(PROXY, 1, torch.float32)
    z.cells[..., 2:] = 0
    tiny = z.map(torch.clone)
    tiny.cells[..., 2:] = 1e-30
    with torch.no_grad():
        torch.testing.assert_close(supernet(images, z), supernet(images, tiny), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("sampling", ["soft", "hard"])
def test_recomputation_gives_the_same_update(sampling: Sampling) -> None:
    runs = [make(sampling=sampling, recompute=recompute) for recompute in (False, True)]
    records = [[run.step([batch]) for batch, _ in zip(batches(), range(2), strict=False)] for run in runs]
    assert records[0] == records[1]
    for name, value in runs[0].architecture.state_dict().items():
        assert torch.equal(value, runs[1].architecture.state_dict()[name])


@pytest.mark.parametrize("amp", ["bf16", "fp16"])
def test_lower_precision_is_near(amp: Amp) -> None:
    full, lower = make(), make(Computing(amp=amp))
    for batch, _ in zip(batches(), range(3), strict=False):
        expected, record = full.step([batch]), lower.step([batch])
    assert record.cross_entropy == pytest.approx(expected.cross_entropy, rel=0.05)
    assert record.cross_entropy != expected.cross_entropy


def test_channels_last_gives_the_same_update() -> None:
    plain, last = make(), make(Computing(channels_last=True))
    for run in (plain, last):
        run.supernet.eval()
    batch = next(batches())
    assert plain.step([batch]).cross_entropy == pytest.approx(last.step([batch]).cross_entropy, rel=1e-4)
    for left, right in zip(plain.architecture.parameters(), last.architecture.parameters(), strict=True):
        assert left.grad is not None
        torch.testing.assert_close(left.grad, right.grad, rtol=1e-3, atol=1e-7)


def test_parts_of_a_batch_give_what_the_batch_gives() -> None:
    assert_near(shared(Processes(), "soft", accumulate=2), shared(Processes(), "soft"))
