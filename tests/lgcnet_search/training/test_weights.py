"""Weights belong to a genotype: what is loaded is what was saved, and nothing else is taken for it."""

from dataclasses import replace
from pathlib import Path

import onnxruntime
import pytest
import torch

from lgcnet_search.space.classifier import ImageClassifier
from lgcnet_search.space.genotype import Genotype, random_genotype, typical_genotype
from lgcnet_search.space.network import DerivedNetwork, count_parameters, seeded
from lgcnet_search.training.export import export_onnx, fold
from lgcnet_search.training.weights import Weights, WeightsError
from tests.support.tiny_spaces import TINY, unsettle

GENOTYPE = random_genotype(TINY, 2)


def trained(genotype: Genotype = GENOTYPE, seed: int = 0) -> DerivedNetwork:
    with seeded(seed):
        network = DerivedNetwork(genotype)
    unsettle(network, seed)
    return network.eval()


def images(genotype: Genotype = GENOTYPE) -> torch.Tensor:
    return torch.randn(2, *genotype.space.input_shape, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "weights.pt"
    Weights(GENOTYPE, trained().state_dict()).save(path)
    return path


def test_round_trip(saved: Path) -> None:
    assert [path.name for path in saved.parent.iterdir()] == ["weights.pt"]
    loaded = Weights.load(saved)
    assert loaded.genotype == GENOTYPE
    with torch.inference_mode():
        assert torch.equal(loaded.network()(images()), trained()(images()))


def test_any_program_with_torch_reads_them(saved: Path) -> None:
    content = torch.load(saved, weights_only=True)
    assert Genotype.from_json(content["genotype"]) == GENOTYPE
    assert content["state_dict"].keys() == trained().state_dict().keys()


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "text"])
def test_damage_is_named(saved: Path, damage: str) -> None:
    content = saved.read_bytes()
    flipped = bytearray(content)
    flipped[len(flipped) // 2] ^= 1
    saved.write_bytes({"cut": content[:-999], "flipped": bytes(flipped), "empty": b"", "text": b"weights"}[damage])
    with pytest.raises(WeightsError, match=r"weights\.pt is damaged.*; copy it again or train again"):
        Weights.load(saved)


def test_other_files_are_named(tmp_path: Path) -> None:
    torch.save({"state_dict": {}}, tmp_path / "other.pt")
    with pytest.raises(WeightsError, match=r"is no weights file of lgcnet-search; give a weights\.pt"):
        Weights.load(tmp_path / "other.pt")
    with pytest.raises(FileNotFoundError):
        Weights.load(tmp_path / "nothing.pt")


def test_weights_of_another_definition_are_refused(saved: Path) -> None:
    content = torch.load(saved, weights_only=True)
    torch.save({**content, "definition": "0" * 64}, saved)
    with pytest.raises(WeightsError, match="definition 000000000000… of the operations"):
        Weights.load(saved)


def test_weights_of_another_genotype_are_refused() -> None:
    weights = Weights(GENOTYPE, trained().state_dict())
    with pytest.raises(WeightsError, match=r"another genotype \(\d+ edges differ: .* there, .* here"):
        weights.initialize(DerivedNetwork(random_genotype(TINY, 3)))
    wider = replace(TINY, channels=2)
    with pytest.raises(WeightsError, match="give weights of this genotype"):
        weights.initialize(DerivedNetwork(GENOTYPE.at(wider)))


def test_a_network_is_taken_over_at_another_size_and_with_other_classes() -> None:
    weights = Weights(GENOTYPE, trained().state_dict())
    network = DerivedNetwork(GENOTYPE.at(replace(TINY, height=49, width=65, classes=7)))
    fresh = {name: value.clone() for name, value in network.state_dict().items()}
    weights.initialize(network)
    for name, value in network.state_dict().items():
        assert torch.equal(value, fresh[name] if name.startswith("head.") else weights.state[name]), name
    same = DerivedNetwork(GENOTYPE.at(replace(TINY, height=49, width=65)))
    weights.initialize(same)
    assert all(torch.equal(value, weights.state[name]) for name, value in same.state_dict().items())


def test_a_classifier_is_the_backbone_of_the_network() -> None:
    classifier = ImageClassifier(GENOTYPE, 10, 64, 48)
    assert classifier(torch.randn(2, 3, 64, 48)).shape == (2, 10)
    network = DerivedNetwork(GENOTYPE)
    own = network.state_dict()
    names = {name for name in own if name.startswith(("stem.", "cell"))}
    assert classifier.backbone().keys() == names
    learned = sum(parameter.numel() for parameter in classifier.parameters())
    assert learned == count_parameters(classifier.steps) + 10 * (TINY.channels * 16 * 2 + 1)


def test_a_network_starts_from_its_pretrained_backbone() -> None:
    classifier = ImageClassifier(GENOTYPE, 10, 64, 48)
    unsettle(classifier, 3)
    weights = Weights(GENOTYPE, classifier.backbone(), "backbone")
    network = DerivedNetwork(GENOTYPE)
    fresh = {name: value.clone() for name, value in network.state_dict().items()}
    weights.initialize(network)
    for name, value in network.state_dict().items():
        expected = weights.state[name] if name in weights.state else fresh[name]
        assert torch.equal(value, expected), name
    other = random_genotype(TINY, 3)
    mixed = Genotype(GENOTYPE.cells, other.fusion, TINY)
    weights.initialize(DerivedNetwork(mixed))  # a backbone fits every fusion cell
    with pytest.raises(WeightsError, match="backbone alone"):
        weights.network()


@pytest.mark.parametrize("seed", range(3))
def test_export_is_the_same_network(seed: int, tmp_path: Path) -> None:
    genotype = (random_genotype, typical_genotype)[seed % 2](TINY, seed)
    network = trained(genotype, seed)
    with torch.inference_mode():
        expected = network(images(genotype)[:1])
    folded = fold(Weights(genotype, network.state_dict()))
    assert not any("running_mean" in name for name in folded.state)
    folded.save(tmp_path / "network.pt")
    loaded = Weights.load(tmp_path / "network.pt")
    with torch.inference_mode():
        torch.testing.assert_close(loaded.network()(images(genotype)[:1]), expected, rtol=1e-3, atol=1e-4)
    if seed == 0:
        assert export_onnx(loaded.network(), tmp_path / "network.onnx") < 1e-4
        session = onnxruntime.InferenceSession(tmp_path / "network.onnx", providers=["CPUExecutionProvider"])
        (logits,) = session.run(["logits"], {"images": images(genotype)[:1].numpy()})
        torch.testing.assert_close(torch.from_numpy(logits), expected, rtol=1e-3, atol=1e-4)


def test_folded_weights_are_not_trained_on() -> None:
    folded = fold(Weights(GENOTYPE, trained().state_dict()))
    assert fold(folded) is folded
    with pytest.raises(WeightsError, match="folded for deployment"):
        folded.initialize(DerivedNetwork(GENOTYPE))
