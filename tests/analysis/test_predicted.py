"""Maps that explain what a model takes images for, whatever they are labelled."""

import numpy as np
import pytest
import torch

import augwise as aw
from augwise.analysis.estimate_maps import EstimateConfig, estimate_maps
from augwise.analysis.predicted import predicted_labels
from augwise.data import Relabelled
from augwise.errors import UserError
from augwise.training.config import TrainConfig
from augwise.training.train import train
from augwise.training.trained import trained


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("run")
    config = TrainConfig(size=16, limit=100, eval_limit=50, epochs=2, batch_size=20, out=out, quiet=True, device="cpu")
    train(config)
    return out


def test_maps_of_what_is_predicted(run, tmp_path):
    source = aw.open_source("digits", "train", size=16, limit=30)
    model = trained(run).model
    images = torch.stack([source[i][0] for i in range(30)])
    with torch.no_grad():
        expected = model(images.float() / 255).argmax(1).numpy()
    predicted = predicted_labels(model, source, "cpu", progress=False)
    assert np.array_equal(predicted, expected)
    assert 0 < (predicted != source.labels).sum() < 30
    config = EstimateConfig(run=run, limit=30, out=tmp_path / "maps", explain="predicted", quiet=True, device="cpu")
    store = estimate_maps(config, aw.GradientSaliency())
    assert store is not None
    by_hand = aw.estimate(
        model, Relabelled(source, predicted), tmp_path / "hand", aw.GradientSaliency(), progress=False
    )
    given = aw.estimate(model, source, tmp_path / "given", aw.GradientSaliency(), progress=False)
    mine, hand, other = (s.attach(source) for s in (store, by_hand, given))  # they belong to the images all the same
    same = predicted == source.labels
    for i in range(30):
        assert np.array_equal(mine.read(i), hand.read(i))
        assert np.array_equal(mine.read(i), other.read(i)) == same[i]


def test_an_estimator_without_a_model_cannot_explain(tmp_path):
    with pytest.raises(UserError, match="--explain predicted asks a model, and centre has none"):
        estimate_maps(EstimateConfig(out=tmp_path / "m", explain="predicted", quiet=True), aw.CentrePrior())
