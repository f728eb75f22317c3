"""Linear probing: the last layer alone learns, on features that stay what they were."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from augwise import models
from augwise.errors import UserError
from augwise.models.frozen import in_training
from augwise.training.config import TrainConfig
from augwise.training.learn_config import LearnConfig
from augwise.training.optimizers import Schedule
from augwise.training.optimizers import build as optimizer
from augwise.training.train import train
from reference.training_toys import source

IMAGES = 48
SETTINGS = TrainConfig(
    epochs=4, batch_size=IMAGES, lr=0.2, crop_padding=0, flip=False, precision="fp32", device="cpu", quiet=True,
    tensorboard=False, out=None, only_head=True, mean=(0.4,) * 3, std=(0.2,) * 3, threads=1,
)  # fmt: skip


def _network() -> nn.Module:
    """Batch normalisation with statistics of its own, dropout among the frozen layers."""
    torch.manual_seed(3)
    norm = nn.BatchNorm2d(4)
    norm.running_mean, norm.running_var = torch.randn(4), torch.rand(4) + 0.5
    body = nn.Sequential(nn.Conv2d(3, 4, 3), norm, nn.ReLU(), nn.Dropout(0.5), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return nn.Sequential(body, nn.Linear(4, 3))


def test_it_is_a_linear_classifier_on_the_features_as_they_are_in_use():
    data = source(IMAGES, seed=1)
    network = _network()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    train(SETTINGS, source=data, test=source(12, seed=2), model=network)
    after = network.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items() if not name.startswith("1."))

    body, head = _network().eval()
    pixels = torch.stack([torch.as_tensor(data[i][0]) for i in range(IMAGES)]).float() / 255
    features = body((pixels - 0.4) / 0.2).detach()
    labels, steps = torch.as_tensor(data.labels), optimizer("sgd", head.parameters(), 0.2)
    for epoch in range(4):
        steps.param_groups[0]["lr"] = 0.2 * Schedule(4).factor(epoch, 0, 1)
        steps.zero_grad()
        nn.functional.cross_entropy(head(features), labels).backward()
        steps.step()
    torch.testing.assert_close(after["1.weight"], head.weight.detach(), atol=1e-5, rtol=1e-4)
    assert (after["1.weight"] - before["1.weight"]).abs().max() > 0.01


def test_what_learns_trains_and_what_is_frozen_rests():
    network = nn.Sequential(nn.Sequential(nn.BatchNorm2d(3), nn.Dropout()), nn.Dropout(), nn.Flatten(), nn.Linear(3, 2))
    models.freeze_all_but_head(network)
    in_training(network.eval())
    frozen, dropout = network[0], network[1]
    assert not any(part.training for part in frozen.modules())
    assert dropout.training
    assert network[3].training


def test_a_network_without_frozen_parts_trains_whole():
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4, affine=False), nn.Flatten(), nn.Linear(4, 2))
    assert all(part.training for part in in_training(network.eval()).modules())


def test_random_weights_are_not_probed():
    with pytest.raises(UserError, match="which here is random: give checkpoint"):
        train(SETTINGS, source=source(IMAGES, seed=1), test=source(12, seed=2))


def test_other_objectives_are_refused():
    with pytest.raises(UserError, match="only_head goes with objective=supervised, not with fixmatch"):
        replace(SETTINGS, learn=LearnConfig(objective="fixmatch", labelled=6)).check()
