"""Training: the schedule, the hard-example loss, learning, exact resume, and updates in parts."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import AdamW

from lgcnet_search.computing.checkpoint import CheckpointError, Checkpoints
from lgcnet_search.computing.how import Amp, Computing
from lgcnet_search.computing.losses import CrossEntropy, HardExamples
from lgcnet_search.space.genotype import random_genotype
from lgcnet_search.space.network import DerivedNetwork, seeded
from lgcnet_search.training.train import Schedule, TrainingError, TrainRecord, train
from tests.support.tiny_search import assert_near
from tests.support.tiny_spaces import TINY
from tests.support.tiny_train import batches, pointwise, trained

SMALL = replace(TINY, height=33, width=49)


def network() -> DerivedNetwork:
    with seeded(0):
        return DerivedNetwork(random_genotype(SMALL, 4))


def test_poly_schedule_falls_from_the_first_rate_to_zero() -> None:
    schedule = Schedule(steps=100, learning_rate=0.01)
    rates = [schedule.at(step) for step in range(101)]
    assert rates[0] == 0.01
    assert rates == sorted(rates, reverse=True)
    assert rates[50] == pytest.approx(0.01 * 0.5**0.9)
    assert rates[100] == 0


def test_hard_examples_are_those_below_the_probability() -> None:
    logits = torch.tensor([4.0, 4.0, 0.0, -4.0, 9.0]).view(1, 1, 1, 5)
    logits = torch.cat([logits, torch.zeros_like(logits)], dim=1)
    targets = torch.tensor([[[0, 0, 0, 0, 255]]])
    losses = F.cross_entropy(logits, targets, ignore_index=255, reduction="none").flatten()
    total, count = HardExamples(0.7, 0.1)(logits, targets)
    assert count == 2
    assert total == pytest.approx(float(losses[2] + losses[3]))
    total, count = HardExamples(1e-9, 3 / 5)(logits, targets)
    assert count == 3
    assert total == pytest.approx(float(losses[2] + losses[3] + losses[0]))
    total, count = HardExamples(1e-9, 1.0)(logits, targets)
    assert count == 4
    everything = CrossEntropy()(logits, targets)
    assert total == pytest.approx(float(everything[0]))
    assert count == everything[1]


def test_images_have_a_class_255() -> None:
    logits, targets = torch.randn(4, 300), torch.tensor([255, 3, 299, 255])
    total, count = CrossEntropy(-100)(logits, targets)
    assert total == pytest.approx(float(F.cross_entropy(logits, targets, reduction="sum")))
    assert count == 4
    assert CrossEntropy()(logits, targets)[1] == 2


@pytest.mark.parametrize("amp", ["none", "bf16"])
def test_training_learns(amp: Amp) -> None:
    records = train(network(), batches(SMALL), Schedule(40, 0.05), computing=Computing(amp=amp))
    assert [record.step for record in records] == list(range(40))
    assert records[-1].loss < 0.8 * records[0].loss
    assert all(1 / 16 <= record.counted <= 1 for record in records)


def test_an_interrupted_training_goes_on_exactly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Interrupted(Exception):
        pass

    def interrupt(record: TrainRecord) -> None:
        if record.step == 4:
            raise Interrupted

    schedule = Schedule(7)
    whole = network()
    history = train(whole, batches(SMALL), schedule)
    checkpoints_at = Checkpoints(tmp_path / "train.pt", 2)
    with pytest.raises(Interrupted):
        train(network(), batches(SMALL), schedule, checkpoints=checkpoints_at, on_step=interrupt)
    steps: list[int] = []
    parts = network()
    resumed = train(
        parts, batches(SMALL), schedule, checkpoints=checkpoints_at, on_step=lambda record: steps.append(record.step)
    )
    assert steps == [4, 5, 6]
    assert resumed == history
    for name, value in whole.state_dict().items():
        assert torch.equal(value, parts.state_dict()[name]), name
    with pytest.raises(CheckpointError, match=r"schedule.steps: 7 there, 8 now"):
        train(network(), batches(SMALL), Schedule(8), checkpoints=checkpoints_at)
    with pytest.raises(CheckpointError, match=r"seed: absent there, 1 now"):
        train(network(), batches(SMALL), schedule, checkpoints=checkpoints_at, origin={"seed": 1})
    monkeypatch.setattr("lgcnet_search.training.train.space_digest", lambda: "other")
    with pytest.raises(CheckpointError, match=r"definition: \w+ there, other now"):
        train(network(), batches(SMALL), schedule, checkpoints=checkpoints_at)


def test_milestones_take_the_learning_rate_to_a_tenth() -> None:
    schedule = Schedule(8, 0.1, milestones=(0.5, 0.75))
    assert [schedule.at(step) for step in range(8)] == pytest.approx([0.1] * 4 + [0.01] * 2 + [0.001] * 2)
    with pytest.raises(ValueError, match="milestones: "):
        Schedule(8, milestones=(0.75, 0.5))


def test_a_cosine_falls_from_the_end_of_the_warm_up() -> None:
    schedule = Schedule(8, 0.1, cosine=True, warm_up=0.5)
    rates = [schedule.at(step) for step in range(8)]
    assert rates[:3] == pytest.approx([0.025, 0.05, 0.075])
    assert rates[3:] == pytest.approx([0.05 * (1 + math.cos(math.pi * step / 8)) for step in range(3, 8)])


def test_adamw_is_that_of_torch() -> None:
    schedule = Schedule(3, 0.01, weight_decay=0.05, cosine=True, adamw=True)
    ours, theirs = network(), network()
    train(ours, batches(SMALL), schedule, CrossEntropy())
    optimizer = AdamW(theirs.train().parameters(), weight_decay=0.05)
    for step, (images, targets) in zip(range(3), batches(SMALL)(0), strict=False):
        optimizer.param_groups[0]["lr"] = schedule.at(step)
        optimizer.zero_grad()
        loss, count = CrossEntropy()(theirs(images), targets)
        torch.autograd.backward(loss / count)
        optimizer.step()
    assert_near(ours.state_dict(), theirs.state_dict(), atol=1e-5)


def test_a_network_may_give_several_tensors() -> None:
    """Its loss takes them apart; equal parts of one loss are the loss."""

    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = network()

        def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
            logits: Tensor = self.inner(images)
            return logits, logits

    def halved(outputs: tuple[Tensor, Tensor], targets: Tensor, /) -> tuple[Tensor, Tensor]:
        losses = [CrossEntropy()(logits, targets) for logits in outputs]
        return losses[0][0] / 2 + losses[1][0] / 2, losses[0][1]

    twice = train(Twice(), batches(SMALL), Schedule(3), halved)
    once = train(network(), batches(SMALL), Schedule(3), CrossEntropy())
    assert [record.loss for record in twice] == pytest.approx([record.loss for record in once])


def test_parts_of_a_batch_give_the_update_of_the_whole() -> None:
    assert_near(trained(accumulate=2), trained(), atol=1e-6)


def test_a_loss_that_explodes_is_named() -> None:
    class Exploding(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = pointwise()

        def forward(self, images: Tensor) -> Tensor:
            logits: Tensor = self.inner(images) * torch.inf
            return logits

    with pytest.raises(TrainingError, match="at step 0; lower the learning rate"):
        train(Exploding(), batches(SMALL), Schedule(2))


def test_batches_that_end_are_refused() -> None:
    with pytest.raises(ValueError, match="ended at step 1 of 3"):
        train(pointwise(), lambda used: [next(batches(SMALL)(0))][used:], Schedule(3))


@pytest.mark.parametrize(
    "settings", [{"steps": 0}, {"learning_rate": 0.0}, {"power": float("nan")}, {"momentum": 1.0}, {"weight_decay": -1}]
)
def test_impossible_schedules_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(settings))):
        Schedule(**{"steps": 4, **settings})  # type: ignore[arg-type]
