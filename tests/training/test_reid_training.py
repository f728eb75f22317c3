"""Re-identification end to end on pairs of digits: batches, exact resume, what is measured, and what is refused."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import augwise as aw
from augwise.analysis.estimate_maps import EstimateConfig, estimate_maps
from augwise.analysis.train_run import TrainRun, train_run
from augwise.data import ArraySource, Subset, who_is_who
from augwise.data.people import Who
from augwise.errors import UserError
from augwise.models.reid import Identified, IdentityNetwork
from augwise.reid import evaluate_ranking
from augwise.training.batches import Batches, ResidentReader
from augwise.training.config import EvaluateConfig, TrainConfig
from augwise.training.evaluate import describe, evaluate
from augwise.training.identity_batches import IdentityOrder
from augwise.training.learn_config import LearnConfig
from augwise.training.objectives.identity import Identity, metric_loss
from augwise.training.optimizers import Schedule
from augwise.training.rank_people import by_identity, rank_people
from augwise.training.train import train
from augwise.training.trained import trained
from reference.ranked import batch_hard

SMALL = TrainConfig(
    data="digit-people", size=(32, 16), model="reid_small", limit=200, epochs=2, batch_size=16, optimizer="adam",
    lr=3.5e-3, warmup_epochs=1.0, warmup_from=0.1, label_smoothing=0.1, crop_padding=2, eval_last=1, threads=1,
    device="cpu", learn=LearnConfig(objective="reid"), tensorboard=False, quiet=True,
)  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def _people(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AUGWISE_DATA", str(tmp_path_factory.mktemp("data")))
        aw.open_source("digit-people")
        yield


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("run")
    return out, train(replace(SMALL, epochs=4, limit=400, out=out))


# Batches


@pytest.mark.parametrize(("people", "images"), [(4, 4), (3, 2), (2, 5)])
def test_batches_have_people_times_images(people, images):
    labels = np.repeat([4, 7, 9, 11, 12, 30], [9, 1, 8, 3, 4, 12])  # one identity has a single image
    order = IdentityOrder(labels, people, images, seed=3)
    seen = []
    for epoch in range(6):
        rows = order.rows(epoch)
        assert len(rows) == order.count
        for batch in rows.reshape(-1, people * images):
            groups = labels[batch].reshape(people, images)
            assert (groups == groups[:, :1]).all()  # those of an identity together
            assert len(set(groups[:, 0])) == people
            for group in batch.reshape(people, images):
                most = Counter(group.tolist()).most_common(1)[0][1]
                have = int((labels == labels[group[0]]).sum())
                assert most == max(1, -(-images // have))  # the same twice only where there are too few
        seen.append(rows)
        assert rows.tolist() == order.rows(epoch).tolist()
    assert len({tuple(rows) for rows in seen}) == 6
    assert set(np.concatenate(seen)) == set(range(len(labels)))
    assert order.few == sum(np.unique(labels, return_counts=True)[1] < images)
    assert IdentityOrder(labels, people, images, seed=4).rows(0).tolist() != seen[0].tolist()


def test_nearly_every_image_comes_once_an_epoch():
    labels = np.repeat(np.arange(40), 16)
    rows = IdentityOrder(labels, 8, 4, seed=0).rows(0)
    assert len(rows) == len(labels)
    assert len(set(rows.tolist())) > 0.93 * len(labels)


def test_processes_share_the_identities_of_a_step():
    source = aw.open_source("digit-people", size=(32, 16), limit=160)
    labels = np.asarray(source.labels)
    order, resident = IdentityOrder(labels, 4, 4, seed=1), aw.Resident.load(source, progress=False)
    ways = {"seed": 1, "batch_size": 16, "order": order}
    whole = list(Batches(ResidentReader(resident), [aw.RandomCrop((32, 16), padding=2)], **ways).epoch(1))
    halves = [
        list(
            Batches(ResidentReader(resident), [aw.RandomCrop((32, 16), padding=2)], rank=r, processes=2, **ways).epoch(
                1
            )
        )
        for r in range(2)
    ]
    for batch, one, other in zip(whole, *halves, strict=True):
        assert torch.equal(batch.images, torch.cat([one.images, other.images]))
        assert len(one.labels.unique()) == 2
    later = list(Batches(ResidentReader(resident), [aw.RandomCrop((32, 16), padding=2)], **ways).epoch(1, 3))
    assert torch.equal(later[0].images, whole[3].images)


def test_orders_that_cannot_be_made():
    with pytest.raises(UserError, match="takes 5 identities, but there are 3"):
        IdentityOrder(np.repeat([0, 1, 2], 4), 5, 2, 0)
    with pytest.raises(UserError, match="at least 2 of both"):
        IdentityOrder(np.repeat([0, 1, 2], 4), 1, 4, 0)


def test_warm_up_begins_where_it_is_told():
    schedule = Schedule(10, "steps", 4.0, (6, 8), 0.1, warmup_from=0.1)
    assert schedule.factor(0, 0, 5) == pytest.approx(0.1 + 0.9 / 20)
    assert schedule.factor(3, 4, 5) == pytest.approx(1.0)
    assert [schedule.factor(epoch, 0, 5) for epoch in (4, 6, 8)] == pytest.approx([1.0, 0.1, 0.01])


# Training


class TwoHeads(IdentityNetwork):
    """Linear: two heads, features and an embedding that has nothing to do with them."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.heads = nn.ModuleList([nn.Linear(96, 6) for _ in range(2)])
        self.features, self.embedding = nn.Linear(96, 5), nn.Linear(96, 5)

    def identify(self, images: Tensor) -> Identified:
        seen = images.as_subclass(Tensor).flatten(1)
        return Identified(tuple(head(seen) for head in self.heads), self.features(seen), self.embedding(seen))


def test_the_loss_is_that_of_every_head_and_of_the_features():
    source = aw.open_source("digit-people", size=(32, 16), limit=160)
    resident = aw.Resident.load(source, progress=False)
    model, labels = TwoHeads(), torch.arange(4).repeat_interleave(4) + 1
    batch = aw.Batch.of(torch.rand(16, 3, 8, 4), labels)
    batches = Batches(ResidentReader(resident), batch_size=16)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    objective = Identity(model, optimizer, batches, metric_loss("batch_hard", 0.8), 0.3, 0.1)
    step = next(objective.phases(0)).loss(model, batch)
    found = model(batch.images, everything=True)
    heads = [nn.functional.cross_entropy(logits, labels, label_smoothing=0.1) for logits in found.logits]
    metric = batch_hard(found.features.detach().numpy(), labels.tolist(), 0.8)
    assert 0.1 < metric != pytest.approx(batch_hard(found.features.detach().numpy(), labels.tolist(), 0.3))
    assert float(step.loss.detach()) == pytest.approx(float(sum(heads).detach()) / 2 + 0.3 * metric, rel=1e-5)
    assert float(step.measures["identity_loss"]) == pytest.approx(float(sum(heads).detach()) / 2, rel=1e-5)
    assert float(step.measures["metric_loss"]) == pytest.approx(metric, rel=1e-5)
    assert not any(p.grad is not None for p in model.embedding.parameters())


def test_an_identity_s_numbers_are_those_of_its_queries_asked_alone():
    torch.manual_seed(0)
    found, rng = torch.randn(60, 4), np.random.default_rng(0)
    who = Who(np.arange(60) % 5, rng.integers(1, 3, 60), rng.random(60) < 0.4)
    rows = by_identity(rank_people(found, who), who, {number: f"no. {number}" for number in range(5)})
    assert [row["identity"] for row in rows] == [f"no. {number}" for number in range(5)]
    for number, row in enumerate(rows):
        kept = ~who.asked | (who.identities == number)
        alone = rank_people(found[torch.from_numpy(kept)], Who(*(part[kept] for part in who)))
        assert (row["queries"], row["map"], row["rank_1"]) == (
            alone.queries, pytest.approx(alone.map), pytest.approx(alone.cmc[1]),
        )  # fmt: skip
    assert len({row["rank_1"] for row in rows}) > 1


def test_it_learns_people_that_it_has_never_seen(run):
    _, result = run
    chance = 7 / 440  # matches by the other camera among the gallery
    assert result["retrieval"]["map"] > 4 * chance
    assert result["retrieval"]["queries"] == 60
    last = result["curve"][-1]
    assert last["test_map"] == result["retrieval"]["map"]
    assert last["test_accuracy"] == result["retrieval"]["rank_1"] == result["test"]["last_accuracy"]
    assert last["identity_loss"] + last["metric_loss"] == pytest.approx(last["train_loss"], abs=1e-5)
    assert result["data"]["identities_with_few_images"] == 0


def test_stopped_and_gone_on_with_it_ends_with_the_same_weights(run, tmp_path):
    out, whole = run

    class Stopped(Exception):
        pass

    def stop(row):
        if row["epoch"] == 2:
            raise Stopped

    config = replace(SMALL, epochs=4, limit=400, out=tmp_path, checkpoint_steps=5)
    with pytest.raises(Stopped):
        train(config, on_epoch=stop)
    again = train(config)
    assert (tmp_path / "weights.safetensors").read_bytes() == (out / "weights.safetensors").read_bytes()
    assert again["retrieval"] == whole["retrieval"]


def test_evaluation_says_what_training_did_and_a_plain_ranking_does(run, tmp_path):
    out, result = run
    found = evaluate(EvaluateConfig(run=out, rerank=True, device="cpu", out=tmp_path, quiet=True))
    assert found["retrieval"] == pytest.approx(result["retrieval"])
    assert found["reranked"]["map"] != pytest.approx(found["retrieval"]["map"])
    assert found["reranked"]["how"] == {"k1": 20, "k2": 6, "weight": 0.3}
    by = found["identities"]
    assert len(by) == 30
    assert np.mean([row["map"] for row in by]) == pytest.approx(found["retrieval"]["map"])
    test = aw.open_source("digit-people", "test", size=(32, 16))
    who, model = who_is_who(test), trained(out).model.eval()
    with torch.no_grad():
        images = torch.stack([test[i][0] for i in range(len(test))]).float() / 255
        said = model.model(((images - model.mean) / model.std), everything=True).embedding
    labels = [part[mask] for part in (who.identities, who.cameras) for mask in (who.asked, ~who.asked)]
    asked = torch.from_numpy(who.asked)
    plain = evaluate_ranking(said[asked], said[~asked], *labels, metric="cosine")
    assert plain.map == pytest.approx(found["retrieval"]["map"], abs=1e-4)
    text = describe(found)
    assert "60 queries of a gallery of 440 images" in text
    assert "k-reciprocal" in text
    assert aw.report(tmp_path).read_text().count("Re-identification") > 0
    assert "rank 1" in aw.report(out).read_text()
    with pytest.raises(UserError, match="queries alone"):
        evaluate(EvaluateConfig(run=out, split="query", device="cpu", quiet=True))


def test_queries_without_a_match_are_counted_and_said(run):
    out, _ = run
    found = evaluate(EvaluateConfig(run=out, limit=90, device="cpu", quiet=True))
    retrieval = found["retrieval"]
    assert retrieval["left_out"] > 0
    assert f"{retrieval['left_out']} more without a match by another camera left out" in describe(found)


def test_maps_of_an_identity_classifier_guard_its_training(run, tmp_path, capsys):
    out, _ = run
    for name, method in (
        ("occlusion", aw.Occlusion(window=0.5, stride=0.5)),
        ("cdiea", aw.CDIEA(steps=12, epsilon=0.25, encoder_kind="unet")),
    ):
        config = EstimateConfig(data="digit-people", run=out, limit=40, out=tmp_path / name, device="cpu", quiet=True)
        store = estimate_maps(config, method)
        assert store is not None
        assert (store.height, store.width) == (32, 16)
    source = aw.open_source("digit-people", size=(32, 16), limit=40)
    maps = aw.ImportanceStore(tmp_path / "occlusion").attach(source)
    assert maps.read(0).shape == (32, 16)
    config = replace(SMALL, limit=40, out=tmp_path / "guarded")
    guarded = train_run(TrainRun(config, maps=tmp_path / "occlusion"), aw.Cutout(0.5, quantile=0.6))
    erased = guarded["curve"][-1]["importance_erased"]
    plain = train(replace(config, out=None), maps=tmp_path / "occlusion", steps=aw.Cutout(0.5))
    assert erased < plain["curve"][-1]["importance_erased"]
    assert "60 queries of a gallery of 440 images: mAP" in capsys.readouterr().out


def test_settings_with_height_and_width_come_back_from_json(run):
    out, _ = run
    settings = json.loads((out / "results.json").read_text())["config"]
    assert settings["size"] == [32, 16]
    assert TrainConfig(**settings).size == (32, 16)


def test_losses_of_pytorch_metric_learning():
    pytest.importorskip("pytorch_metric_learning", reason="the extra reid")
    features = torch.randn(12, 6, generator=torch.Generator().manual_seed(0), requires_grad=True)
    labels = torch.arange(12) // 3
    apart = torch.eye(4).repeat_interleave(3, 0) * 5
    for name in ("multi_similarity", "circle"):
        loss = metric_loss(name, 0.3)
        value = loss(features, labels)
        value.backward()
        assert features.grad is not None
        assert bool(features.grad.abs().sum() > 0)
        assert loss(apart, labels) < value


# What cannot be meant


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"batch_size": 18}, "batch_size=18 holds no 4 images each of two identities"),
        ({"batch_size": 4}, "at least 8"),
        ({"val_share": 0.1}, "choose settings on a data set of other people"),
        ({"model": "small_cnn"}, "small_cnn gives no embeddings"),
        ({"data": "digits"}, "digits does not say which camera"),
        ({"eval_split": "query"}, "queries alone"),
        ({"eval_split": "gallery"}, "no queries"),
        ({"limit": 3}, "takes 4 identities, but there are 3|batch_size"),
        ({"crop": "resized", "loader": "workers"}, "crop=resized makes squares"),
        ({"learn": LearnConfig(objective="reid", lpa3=True)}, "takes neither lpa3 nor noise"),
        ({"learn": LearnConfig(objective="reid", reid_images=1)}, "at least 2 images"),
        ({"learn": LearnConfig(reid_margin=0.1)}, "reid_margin has no use with objective=supervised"),
        ({"learn": LearnConfig(objective="reid", reid_loss="circle", reid_margin=1.0)}, "no use with reid_loss=circle"),
        ({"learn": LearnConfig()}, r"other people than the training images.*objective reid"),
        ({"warmup_epochs": 0.0}, "warmup_from=0.1 has no use without warmup_epochs"),
        ({"size": (32, 0)}, "size=0 is not positive"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_is_read(change, words, tmp_path):
    with pytest.raises(UserError, match=words):
        train(replace(SMALL, **change, out=tmp_path / "none"))


def test_mixers_and_sources_without_people_are_refused(tmp_path):
    with pytest.raises(UserError, match="CutMix mixes people"):
        train(replace(SMALL, out=None), steps=aw.CutMix(alpha=1.0))
    source = aw.open_source("digit-people", size=(32, 16))
    alone = Subset(source, np.flatnonzero(source.labels == 3))
    with pytest.raises(UserError, match="images of one identity only"):
        train(replace(SMALL, out=None), source=alone, test=aw.open_source("digit-people", "test", size=(32, 16)))
    arrays = ArraySource(torch.zeros(20, 3, 32, 16, dtype=torch.uint8), np.arange(20) % 4, list("abcd"), "mine")
    with pytest.raises(UserError, match="mine does not say which camera"):
        train(replace(SMALL, out=None), source=arrays, test=arrays)
    run = tmp_path / "digits"
    train(TrainConfig(size=8, limit=40, eval_limit=20, epochs=1, batch_size=20, out=run, threads=1, quiet=True))
    with pytest.raises(UserError, match="rerank is for models of people"):
        evaluate(EvaluateConfig(run=run, rerank=True, quiet=True))


def test_an_identity_with_one_image_is_trained_on_and_said(tmp_path):
    source = aw.open_source("digit-people", size=(32, 16))
    labels = np.asarray(source.labels)
    rows = np.concatenate([np.flatnonzero(labels == who)[: 1 if who == 2 else 4] for who in range(6)])
    test = aw.open_source("digit-people", "test", size=(32, 16))
    config = replace(SMALL, limit=None, epochs=1, warmup_epochs=0.0, warmup_from=0.0, batch_size=8, out=tmp_path)
    result = train(config, source=Subset(source, rows), test=test)
    assert result["data"]["identities_with_few_images"] == 1
