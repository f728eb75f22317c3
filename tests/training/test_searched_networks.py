"""Training a network made of a genotype: what training adds, and a run that keeps what it was made of."""

from __future__ import annotations

import json

import pytest
import torch
from torch.nn import functional

from augwise.data import Normalize, Resident, open_source
from augwise.errors import UserError
from augwise.labels import MixedLabels
from augwise.models import CellNetwork, Genotype, genotype
from augwise.models.cell_networks import DrawnPath
from augwise.training.batches import Batches, ResidentReader
from augwise.training.config import EvaluateConfig, TrainConfig
from augwise.training.evaluate import evaluate
from augwise.training.learn_config import LearnConfig
from augwise.training.objectives.supervised import Supervised
from augwise.training.train import train
from augwise.training.trained import trained


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def settings(out, model, **options):
    shared = {"size": 8, "limit": 40, "eval_limit": 20, "epochs": 2, "batch_size": 20, "device": "cpu", "quiet": True}
    return TrainConfig(model=model, out=out, tensorboard=False, **{**shared, **options})


def test_the_loss_is_that_of_both_heads_on_the_same_mixed_labels():
    torch.manual_seed(0)
    resident = Resident.load(open_source("digits", size=16, limit=4, progress=False), None, "cpu", progress=False)
    batches = Batches(ResidentReader(resident), last=[Normalize([0.3], [0.3])], batch_size=4)
    (batch,) = batches.epoch(0)
    weights = torch.tensor([[0.7, 0.3], [0.5, 0.5], [0.9, 0.1], [1.0, 0.0]])
    labels = MixedLabels(torch.tensor([[0, 1], [2, 3], [4, 0], [1, 1]]), weights, torch.zeros(4))
    inputs = batch.images.shape[1]
    network = CellNetwork(genotype("pc_darts_cifar10"), 10, inputs, channels=4, layers=3).train()
    network.auxiliary_weight = 0.3
    objective = Supervised(network, torch.optim.SGD(network.parameters(), 0.1), batches, label_smoothing=0.2)
    loss = objective.loss(network, batch._replace(labels=labels)).loss
    logits, auxiliary = network(batch.images), network.take_auxiliary()
    dense = 0.8 * labels.dense(10) + 0.2 / 10
    both = ((1, logits), (0.3, auxiliary))
    torch.testing.assert_close(
        loss, sum(w * -(dense * functional.log_softmax(out, 1)).sum(1).mean() for w, out in both)
    )


def test_a_run_keeps_its_genotype_and_what_training_alone_uses_is_off_afterwards(tmp_path):
    path = genotype("pc_darts_cifar10").save(tmp_path / "found.json")
    config = settings(tmp_path / "run", f"darts_c4_l3:{path}", drop_path=0.5, auxiliary=0.2)
    seen = []

    def watch(row):
        seen.append(row["train_loss"])

    result = train(config, on_epoch=watch)
    assert len(seen) == 2
    genotype("pc_darts_imagenet").save(path)
    with pytest.raises(UserError, match="belongs to another run: genotype"):
        train(config)
    path.unlink()
    assert Genotype.load(tmp_path / "run" / "genotype.json") == genotype("pc_darts_cifar10")
    moved = (tmp_path / "run").rename(tmp_path / "elsewhere")
    model = trained(moved).model.model
    assert isinstance(model, CellNetwork)
    assert model.drop_path == model.auxiliary_weight == 0
    found = evaluate(EvaluateConfig(run=moved, limit=20, device="cpu", quiet=True))
    assert found["accuracy"] == pytest.approx(result["test"]["last_accuracy"])


def test_the_defaults_are_those_of_the_paper_and_can_be_changed():
    def of(**options):
        network = CellNetwork(genotype("pc_darts_cifar10"), 10, channels=4, layers=3)
        train(settings(None, "given", epochs=1, **options), model=network)
        return network.auxiliary_weight, network.drop_path

    assert of() == (0.4, 0.3)
    assert of(auxiliary=0.0, drop_path=0.1) == (0.0, 0.1)
    few = LearnConfig(objective="fixmatch", labelled=20, unlabelled_ratio=1, epoch_steps=1)
    assert of(learn=few, batch_size=10) == (0.0, 0.3)
    large = CellNetwork(genotype("pc_darts_imagenet"), 10, channels=4, layers=3, large=True)
    train(settings(None, "given", epochs=1, size=64, batch_size=20), model=large)
    assert (large.auxiliary_weight, large.drop_path) == (0.4, 0.0)
    assert all(m.p == 0 for m in large.modules() if isinstance(m, DrawnPath))


def test_stopped_and_gone_on_with_it_ends_with_the_same_bytes(tmp_path):
    """Drop path draws from the step's own stream."""
    model = "darts_c4_l3:pc_darts_cifar10"
    train(settings(tmp_path / "whole", model, epochs=3))

    def fall(row):
        if row["epoch"] == 2:
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        train(settings(tmp_path / "broken", model, epochs=3, checkpoint_steps=1), on_epoch=fall)
    train(settings(tmp_path / "broken", model, epochs=3))
    weights = [(tmp_path / name / "weights.safetensors").read_bytes() for name in ("whole", "broken")]
    assert weights[0] == weights[1]
    assert "genotype" in json.loads((tmp_path / "whole" / "results.json").read_text())["identity"]


def test_what_is_for_searched_networks_alone(tmp_path):
    for options in ({"auxiliary": 0.4}, {"drop_path": 0.1}):
        with pytest.raises(UserError, match="is for searched networks"):
            train(settings(tmp_path / "a", "small_cnn", **options))
    learn = LearnConfig(objective="fixmatch", labelled=20)
    with pytest.raises(UserError, match="auxiliary goes with objective=supervised"):
        train(settings(tmp_path / "a", "darts_c4_l3:pc_darts_cifar10", auxiliary=0.4, learn=learn))
    with pytest.raises(UserError, match=r"drop_path=1\.5 is out of range"):
        train(settings(tmp_path / "a", "darts_c4_l3:pc_darts_cifar10", drop_path=1.5))
    with pytest.raises(UserError, match="no file"):
        train(settings(tmp_path / "a", "darts:nowhere.json"))
