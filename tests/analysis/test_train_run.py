"""The verb train: which images' maps a method is given, and what is said of maps that nothing looks at."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import augwise as aw
from augwise.analysis.train_run import TrainRun, train_run
from augwise.data import limited, open_source, split_validation
from augwise.transforms.crop_flip import random_crop

CONFIG = aw.TrainConfig(
    data="digits", limit=40, val_share=0.2, batch_size=20, epochs=1, crop_padding=0, device="cpu", quiet=True, out=None
)


class Notes(nn.Module):
    """Where the map of every image has its one key point."""

    guarded = True

    def __init__(self) -> None:
        super().__init__()
        self.places: dict[int, int] = {}

    def forward(self, batch):
        maps = batch.importance.as_subclass(Tensor).flatten(1)
        self.places.update(zip(batch.indices.tolist(), maps.argmax(1).tolist(), strict=True))
        return batch


@pytest.fixture
def store(tmp_path):
    """Row i of the digits has its key point in cell i."""
    data = open_source("digits")
    aw.ImportanceStore.from_maps(data, np.eye(len(data), 32 * 32).reshape(-1, 32, 32), tmp_path / "d.maps")
    return tmp_path / "d.maps"


def test_a_control_is_given_maps_of_other_images(store):
    data = open_source("digits")
    rest, _ = split_validation(data, 0.2, CONFIG.data_seed)
    rows = {data.fingerprint(i): i for i in range(len(data))}
    part = limited(rest, 40, CONFIG.data_seed)
    own = [rows[part.fingerprint(i)] for i in range(40)]
    attached = aw.ImportanceStore(store).attach(part)
    others, third = (attached.deranged(s).read(range(40)).flatten(1).argmax(1).tolist() for s in (CONFIG.seed, 7))
    assert all(a != b for a, b in zip(own, others, strict=True))
    assert others != third  # every seed has a derangement of its own
    for control, seed, wanted in ((False, CONFIG.seed, own), (True, CONFIG.seed, others), (True, 7, third)):
        notes = Notes()
        train_run(TrainRun(replace(CONFIG, seed=seed), maps=store, control=control), notes)
        assert [notes.places[i] for i in range(40)] == wanted


def test_labels_are_softened_after_the_method(store):
    """Every map is one pixel, so a crop leaves all of the evidence or nothing: doubt is strength times how often."""
    config = replace(CONFIG, epochs=2)
    run = TrainRun(config, maps=store, soften=0.5)
    curve = train_run(run, random_crop(12))["curve"]
    for row in curve:
        assert row["label_doubt"] == pytest.approx(0.5 * row["importance_erased"], abs=1e-6)
        assert 0.1 < row["importance_erased"] < 0.9
    hard = train_run(replace(run, soften=0.0), random_crop(12))
    assert "label_doubt" not in hard["curve"][0]
    assert hard["curve"][0]["importance_erased"] == curve[0]["importance_erased"]
    assert hard["curve"][0]["train_loss"] != curve[0]["train_loss"]


def test_softening_is_part_of_what_a_run_is(store, tmp_path):
    config = replace(CONFIG, out=tmp_path / "run")
    run = TrainRun(config, maps=store, soften=1.0, soften_power=1.0)
    result = train_run(run, None)
    assert result["steps"] == ["SoftenLabels(strength=1.0, power=1.0)"]
    assert train_run(run, None) == result
    with pytest.raises(aw.UserError, match="SoftenLabels"):
        train_run(replace(run, soften_power=2.0), None)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"soften": 0.5}, "--soften 0.5 looks at .* no importance maps: give --maps .*--method area"),
        ({"soften": 1.5, "maps": "some.maps"}, "--soften 1.5 is out of range"),
        ({"soften": 1.0, "soften_power": 0.0, "maps": "some.maps"}, "--soften-power 0.0 is not above 0"),
        ({"soften_power": 3.0}, "--soften-power 3.0 has no use without --soften"),
    ],
)
def test_softening_that_cannot_be_meant_is_refused(wrong, said):
    with pytest.raises(aw.UserError, match=said):
        train_run(TrainRun(CONFIG, **wrong), None)


@pytest.mark.parametrize(("step", "told"), [(None, True), (aw.Cutout(8), True), (aw.Cutout(8, quantile=0.6), False)])
def test_maps_that_guard_nothing_are_told_of(store, step, told, capsys):
    result = train_run(TrainRun(CONFIG, maps=store), step)
    said = capsys.readouterr().out
    assert ("nothing is guarded by them" in said) == told
    assert f"test accuracy {100 * result['test']['last_accuracy']:.2f} % at the last epoch" in said
    assert not torch.tensor(result["curve"][0]["importance_erased"]).isnan()


class Sees(aw.Cutout):
    """Guarded; notes the maps that reach it."""

    def __init__(self, **options):
        super().__init__(4, **options)
        self.maps = []

    def make_params(self, images, importance, generator):
        self.maps.append(importance.clone())
        return super().make_params(images, importance, generator)


def test_live_maps_by_the_verb(capsys):
    def seen(**options):
        step = Sees(threshold=0.5, reduce="mean")
        result = train_run(TrainRun(CONFIG, maps="live", **options), step)
        assert not capsys.readouterr().out.startswith("the maps")
        return step.maps[0], result["steps"][0]

    own, said = seen()
    assert said == "LiveSaliency(of='logit', reduce='max', normalize=None, scale=1.0, control=False)"
    stretched, said = seen(live_normalize="minmax", live_of="top_logit", live_scale=0.5)
    assert said == "LiveSaliency(of='top_logit', reduce='max', normalize='minmax', scale=0.5, control=False)"
    assert stretched.amax((1, 2)).eq(1).all()
    control, said = seen(control=True)
    assert "control=True" in said
    assert {tuple(m.flatten().tolist()) for m in control} == {tuple(m.flatten().tolist()) for m in own}
    assert not torch.equal(control, own)
    assert all((a != b).any() for a, b in zip(own, control, strict=True))
    train_run(TrainRun(CONFIG, maps="live"), aw.Cutout(4))
    assert "nothing is guarded by them" in capsys.readouterr().out


def test_options_of_live_maps_without_them(store):
    for run in (TrainRun(CONFIG, live_scale=0.5), TrainRun(CONFIG, maps=store, live_scale=0.5)):
        with pytest.raises(aw.UserError, match="--live-scale without live maps"):
            train_run(run, aw.Cutout(4))
    with pytest.raises(aw.UserError, match="there are none"):
        train_run(TrainRun(CONFIG, control=True), aw.Cutout(4))


def test_superpixels_are_found_for_the_verb_and_kept(store):
    pytest.importorskip("skimage")
    step = aw.Preserve(aw.TrivialAugment(), quantile=0.6, shape="superpixel")
    for control in (False, True):
        train_run(TrainRun(CONFIG, maps=store, control=control), step)
        assert (store / "segments.npy").is_file()
    with pytest.raises(aw.UserError, match="--shape superpixel needs maps that are stored"):
        train_run(TrainRun(CONFIG, maps="live"), step)
