"""The account of a classifier against slow loops."""

import json
from dataclasses import replace

import pytest
import torch
from torch import nn

from augwise.errors import UserError
from augwise.sample import Batch
from augwise.training.config import EvaluateConfig, TrainConfig
from augwise.training.evaluate import account, accuracy, calibration_bins, describe, evaluate, mean_auc, per_class
from augwise.training.train import train
from reference.training_toys import network, source


def _calibration_error(probabilities, labels, bins):
    total = 0.0
    for b in range(bins):
        chosen = [i for i, p in enumerate(probabilities) if b / bins < max(p) <= (b + 1) / bins]
        if chosen:
            right = sum(probabilities[i].index(max(probabilities[i])) == labels[i] for i in chosen) / len(chosen)
            sure = sum(max(probabilities[i]) for i in chosen) / len(chosen)
            total += len(chosen) / len(labels) * abs(right - sure)
    return total


def test_account_equals_slow_loops():
    g = torch.Generator().manual_seed(1)
    logits, labels = 2 * torch.randn(150, 4, generator=g), torch.randint(0, 3, (150,), generator=g)
    batches = [Batch.of(logits[i : i + 40, :, None, None], labels[i : i + 40]) for i in range(0, 150, 40)]
    result = account(nn.Flatten(), batches, ["a", "b", "c", "never"], bins=7)
    probabilities = logits.softmax(1).tolist()
    guesses = logits.argmax(1).tolist()
    table = [
        [sum(t == i and p == j for t, p in zip(labels.tolist(), guesses, strict=True)) for j in range(4)]
        for i in range(4)
    ]
    assert result["confusion"] == table
    assert result["accuracy"] == pytest.approx(sum(table[i][i] for i in range(4)) / 150)
    assert result["accuracy"] == pytest.approx(accuracy(nn.Flatten(), batches))
    assert result["per_class"][1] == {"class": "b", "images": sum(table[1]), "accuracy": table[1][1] / sum(table[1])}
    assert result["per_class"][3]["accuracy"] is None
    assert result["ece"] == pytest.approx(_calibration_error(probabilities, labels.tolist(), 7), abs=1e-6)
    assert result["loss"] == pytest.approx(nn.functional.cross_entropy(logits, labels).item(), abs=1e-6)
    assert result["per_class"] == per_class(nn.Flatten(), batches, ["a", "b", "c", "never"])
    for row in result["calibration"]:
        inside = [i for i, p in enumerate(probabilities) if row["low"] < max(p) <= row["high"]]
        assert row["images"] == len(inside)
        assert row["confidence"] == pytest.approx(sum(max(probabilities[i]) for i in inside) / len(inside), abs=1e-6)
        assert row["accuracy"] == pytest.approx(sum(guesses[i] == labels[i] for i in inside).item() / len(inside))
    assert sum(row["images"] for row in result["calibration"]) == 150
    taken = [sum(row[j] for row in table) for j in range(4)]
    assert result["precision"] == pytest.approx(sum(table[j][j] / taken[j] for j in range(4) if taken[j]) / 4)
    assert result["auc"] == pytest.approx(sum(_area(probabilities, labels.tolist(), c) for c in range(3)) / 3)


def _area(probabilities, labels, c):
    """How often an image of the class gets more than one of another: ties count half."""
    own = [p[c] for p, y in zip(probabilities, labels, strict=True) if y == c]
    others = [p[c] for p, y in zip(probabilities, labels, strict=True) if y != c]
    return sum((a > b) + (a == b) / 2 for a in own for b in others) / (len(own) * len(others))


def test_auc_of_two_classes_is_that_of_the_second():
    p = torch.tensor([0.1, 0.4, 0.4, 0.8, 0.6])
    both = torch.stack([1 - p, p], 1)
    labels = torch.tensor([0, 1, 0, 1, 0])
    assert mean_auc(both, labels) == pytest.approx(_area(both.tolist(), labels.tolist(), 1))
    assert mean_auc(both, torch.zeros(5, dtype=torch.long)) is None


def test_bins_are_closed_on_the_right():
    found = calibration_bins(torch.tensor([0.2, 0.21, 0.4, 1.0]), torch.tensor([True, False, True, True]), 5)
    assert [(round(b["low"], 6), b["images"], b["accuracy"]) for b in found] == [(0, 1, 1), (0.2, 2, 0.5), (0.8, 1, 1)]


def test_a_run_is_evaluated_with_its_own_settings(tmp_path):
    config = TrainConfig(
        data="digits", limit=60, eval_limit=50, epochs=1, batch_size=20, device="cpu", quiet=True, tensorboard=False
    )
    trained = train(replace(config, out=tmp_path))
    asked = EvaluateConfig(run=tmp_path, limit=50, device="cpu", quiet=True, out=tmp_path / "evaluation.json")
    result = evaluate(asked)
    assert result["accuracy"] == pytest.approx(trained["test"]["last_accuracy"])
    assert json.loads((tmp_path / "evaluation.json").read_text()) == result
    assert trained["per_class"] == result["per_class"]
    with pytest.raises(UserError, match="holds the results of 'train', which would be lost"):
        evaluate(replace(asked, out=tmp_path))
    again = evaluate(replace(asked, out=tmp_path / "folder"))
    assert json.loads((tmp_path / "folder" / "results.json").read_text()) == again
    text = describe(result)
    assert "digits (test), 50 images: accuracy" in text
    assert text.count("5 images") >= 10
    with_weights = EvaluateConfig(
        data="digits",
        model="small_cnn",
        checkpoint=tmp_path / "weights.safetensors",
        limit=50,
        device="cpu",
        quiet=True,
        mean=tuple(trained["data"]["mean"]),
        std=tuple(trained["data"]["std"]),
    )
    assert evaluate(with_weights)["confusion"] == result["confusion"]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (EvaluateConfig(), "give run, the folder of a finished training run, or else also data, model, checkpoint"),
        (EvaluateConfig(run="nowhere", model="small_cnn"), "leave out model"),
        (EvaluateConfig(run="nowhere", bins=0), "bins=0 is not positive"),
    ],
)
def test_bad_input(config, message):
    with pytest.raises(UserError, match=message):
        evaluate(config)


def test_a_folder_without_a_run(tmp_path):
    for content, message in ((None, "does not exist"), ("{", "cannot be read"), ("{}", "not the result of a training")):
        if content is not None:
            (tmp_path / "results.json").write_text(content)
        with pytest.raises(UserError, match=message):
            evaluate(EvaluateConfig(run=tmp_path))


def test_accuracy_leaves_the_model_in_evaluation_mode_and_counts_every_image_once():
    data = source(9)
    model = network()
    batches = [Batch.of(data.images[i : i + 4].float(), torch.as_tensor(data.labels[i : i + 4])) for i in (0, 4, 8)]
    found = accuracy(model, batches)
    assert not model.training
    expected = (model(data.images.float()).argmax(1) == torch.as_tensor(data.labels)).float().mean().item()
    assert found == pytest.approx(expected)


def test_a_result_that_cannot_be_written_is_refused_first(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="file"):
        evaluate(EvaluateConfig(run=tmp_path / "nowhere", out=tmp_path / "file" / "below.json"))


def test_images_that_the_model_cannot_take_are_told(tmp_path):
    """Three pixels do not survive two poolings."""
    config = TrainConfig(limit=30, eval_limit=10, epochs=1, batch_size=10, out=tmp_path, quiet=True, tensorboard=False)
    train(config)
    with pytest.raises(UserError, match=r"SmallCNN cannot take images of shape \(3, 3, 3\).*set size"):
        evaluate(EvaluateConfig(run=tmp_path, size=3, quiet=True))
