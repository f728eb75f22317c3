"""Models by name, and weights from files that may be wrong or hostile."""

from __future__ import annotations

import os

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from augwise.errors import UserError
from augwise.models import Normalized, build, find_head, fingerprint, load_weights
from augwise.training.checkpoint import Checkpoint


def size(model):
    return sum(p.numel() for p in model.parameters())


def same(a, b):
    return all(torch.equal(x, b.state_dict()[k]) for k, x in a.state_dict().items())


def test_parameter_counts():
    """11.17 M and 23.52 M are the counts in CIFAR papers; one input channel saves 2 · 9 · 64 weights of the stem."""
    assert size(build("resnet18", 10)) == 11_173_962
    assert size(build("resnet50", 10)) == 23_520_842
    assert size(build("resnet18", 10, in_channels=1)) == 11_173_962 - 2 * 9 * 64
    own = 16 * 27 + 32 * 144 + 32 * 288 + 64 * 288 + 64 * 576 + 2 * (16 + 2 * 32 + 2 * 64) + 65 * 10
    assert size(build("small_cnn", 10)) == own


@pytest.mark.parametrize("name", ["small_cnn", "resnet18"])
def test_small_images_keep_their_places(name):
    """The stem neither strides nor pools: 16 px end as 4×4 (small_cnn) or 2×2 places, not as one."""
    model = build(name, 7, in_channels=2, seed=0).eval()
    last, sizes = [m for m in model.modules() if isinstance(m, nn.Conv2d)][-1], []
    last.register_forward_hook(lambda _m, _i, out: sizes.append(tuple(out.shape[2:])))
    images = torch.rand(3, 2, 16, 24)
    with torch.no_grad():
        whole = model(images)
        alone = torch.cat([model(image[None]) for image in images])
    assert whole.shape == (3, 7)
    torch.testing.assert_close(whole, alone, rtol=1e-4, atol=1e-5)  # eval: neighbours do not matter
    assert sizes[0] == ((4, 6) if name == "small_cnn" else (2, 3))


def test_seed_decides_the_weights_and_leaves_the_stream_alone():
    assert same(build("small_cnn", 5, seed=3), build("small_cnn", 5, seed=3))
    assert not same(build("small_cnn", 5, seed=3), build("small_cnn", 5, seed=4))
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    build("small_cnn", 5, seed=9)
    assert torch.equal(torch.rand(3), expected)
    assert not same(build("small_cnn", 5), build("small_cnn", 5))
    assert fingerprint(build("small_cnn", 5, seed=3)) == fingerprint(build("small_cnn", 5, seed=3))


@pytest.mark.parametrize("name", ["mobilenet_v3_small", "squeezenet1_1", "shufflenet_v2_x0_5"])
def test_torchvision_models_get_a_new_head(name):
    model = build(f"torchvision:{name}", 6, in_channels=1, seed=0).eval()
    images = torch.rand(2, 1, 64, 64)
    with torch.no_grad():
        assert model(images).shape == (2, 6)
    head = model.get_submodule(find_head(model))
    assert 6 in (getattr(head, "out_features", None), getattr(head, "out_channels", None))
    assert all(1000 not in p.shape for p in head.parameters())


def test_auxiliary_heads_are_left_out():
    model = build("torchvision:googlenet", 4).train()
    assert model(torch.rand(2, 3, 64, 64)).shape == (2, 4)
    assert all(1000 not in p.shape for p in model.parameters())


def test_a_grey_stem_is_the_mean_of_the_old_one():
    colour, grey = build("torchvision:resnet18", 3, seed=5), build("torchvision:resnet18", 3, in_channels=1, seed=5)
    images = torch.rand(2, 1, 40, 40)
    with torch.no_grad():
        expected = colour.conv1(images.expand(2, 3, 40, 40))
        torch.testing.assert_close(grey.conv1(images), expected, rtol=1e-4, atol=1e-5)


def test_timm_models():
    pytest.importorskip("timm")
    model = build("timm:resnet10t", 6, in_channels=2, seed=0).eval()
    with torch.no_grad():
        assert model(torch.rand(2, 2, 32, 32)).shape == (2, 6)
    with pytest.raises(UserError, match=r"did you mean .*timm:resnet18"):
        build("timm:resnet_18", 6)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("smal_cnn", "did you mean small_cnn"),
        ("resnet34", "did you mean torchvision:resnet34"),
        ("wrn_28_10", "did you mean wrn28_10"),
        ("torchvision:resnet19", "did you mean torchvision:resnet1"),
        ("hub:resnet18", "timm:NAME, torchvision:NAME"),
        ("", "small_cnn"),
    ],
)
def test_unknown_names_are_refused(name, message):
    with pytest.raises(UserError, match=message):
        build(name, 10)


def test_wrong_numbers_and_missing_weights_are_refused():
    with pytest.raises(UserError, match="num_classes is 0"):
        build("small_cnn", 0)
    with pytest.raises(UserError, match="in_channels is -1"):
        build("small_cnn", 2, in_channels=-1)
    with pytest.raises(UserError, match="no pretrained weights"):
        build("small_cnn", 2, pretrained=True)


def test_pretrained_without_network_is_told(tmp_path, monkeypatch):
    """A cache that cannot be written stands for a download that fails."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "file"))
    with pytest.raises(UserError, match=r"could not get the pretrained weights of torchvision:squeezenet1_1"):
        build("torchvision:squeezenet1_1", 2, pretrained=True)


@pytest.mark.parametrize("form", ["plain", "safetensors", "checkpoint", "run", "nested", "parallel", "compiled"])
def test_weights_come_back(tmp_path, form):
    model, other = build("small_cnn", 5, seed=1), build("small_cnn", 5, seed=2)
    state = model.state_dict()
    path = tmp_path / ("w.safetensors" if form == "safetensors" else "w.pt")
    if form == "safetensors":
        save_file(state, path)
    elif form == "run":
        Checkpoint(path).save({"epoch": 2, "objective": {"models": {"model": state}, "optimizers": {}}, "averages": {}})
    else:
        saved = {
            "plain": state,
            "checkpoint": {"model": state, "step": 3, "optimizer": {"state": {}}},
            "nested": {"models": {"model": state}, "state_dict": 1},
            "parallel": {f"module.{k}": v for k, v in state.items()},
            "compiled": {f"_orig_mod.{k}": v for k, v in state.items()},
        }[form]
        torch.save(saved, path)
    assert load_weights(other, path) is other
    assert same(model, other)
    assert fingerprint(model) == fingerprint(other)


def test_wrapped_and_bare_fit_each_other(tmp_path):
    bare = build("small_cnn", 5, seed=1)
    wrapped = Normalized(bare, (0.5, 0.4, 0.3), (0.2, 0.3, 0.4))
    torch.save(bare.state_dict(), tmp_path / "bare.pt")
    torch.save(wrapped.state_dict(), tmp_path / "wrapped.pt")
    other = Normalized(build("small_cnn", 5, seed=2), (0.1, 0.1, 0.1), (1, 1, 1))
    load_weights(other, tmp_path / "bare.pt")
    assert same(other.model, bare)
    assert other.mean.flatten().tolist() == pytest.approx([0.1] * 3)  # its own
    load_weights(other, tmp_path / "wrapped.pt")
    assert same(other, wrapped)
    fresh = build("small_cnn", 5, seed=3)
    assert same(load_weights(fresh, tmp_path / "wrapped.pt"), bare)


@pytest.mark.parametrize("around", [lambda m: m, lambda m: Normalized(m, (0.5,) * 3, (0.2,) * 3)])
def test_another_number_of_classes(tmp_path, around):
    source = build("small_cnn", 100, seed=1)
    torch.save(source.state_dict(), tmp_path / "w.pt")
    inner = build("small_cnn", 10, seed=2)
    model, before = around(inner), {k: v.clone() for k, v in inner.state_dict().items()}
    with pytest.raises(UserError, match=r"head for 100 classes, the model one for 10.*new_head"):
        load_weights(model, tmp_path / "w.pt")
    assert all(torch.equal(v, before[k]) for k, v in inner.state_dict().items())  # nothing was loaded
    load_weights(model, tmp_path / "w.pt", new_head=True)
    for k, v in inner.state_dict().items():
        assert torch.equal(v, before[k] if k.startswith("head.") else source.state_dict()[k])


def test_other_architectures_are_refused(tmp_path):
    model = build("small_cnn", 10, seed=1)
    torch.save(build("small_cnn", 10, in_channels=1).state_dict(), tmp_path / "grey.pt")
    with pytest.raises(UserError, match=r"another shape of features\.0\.weight"):
        load_weights(model, tmp_path / "grey.pt", new_head=True)
    torch.save(nn.Linear(4, 10).state_dict(), tmp_path / "linear.pt")
    with pytest.raises(UserError, match=r"has no features.*has but the model lacks weight"):
        load_weights(model, tmp_path / "linear.pt", new_head=True)


class Trap:
    """What a hostile file holds: unpickling it runs a command."""

    def __init__(self, flag):
        self.flag = flag

    def __reduce__(self):
        return os.mkdir, (str(self.flag),)


@pytest.mark.parametrize("suffix", [".pt", ".safetensors", ".pkl"])
def test_a_planted_file_runs_nothing(tmp_path, suffix):
    model, flag, path = build("small_cnn", 5, seed=1), tmp_path / "ran", tmp_path / f"w{suffix}"
    torch.save({"model": model.state_dict(), "extra": Trap(flag)}, path)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    with pytest.raises(UserError, match="w" + suffix):
        load_weights(model, path)
    assert not flag.exists()
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    if suffix != ".safetensors":
        torch.load(path, weights_only=False)
        assert flag.exists()  # the trap works


@pytest.mark.parametrize("name", ["w.pt", "w.safetensors"])
@pytest.mark.parametrize("keep", [0, 10, 2000, -100])
def test_damaged_files_are_told(tmp_path, name, keep):
    model, path = build("small_cnn", 5, seed=1), tmp_path / name
    save = save_file if name.endswith("safetensors") else torch.save
    save(model.state_dict(), path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(UserError, match="damaged"):
        load_weights(model, path)


def test_one_changed_byte_is_noticed(tmp_path):
    """torch itself reads such a file without a word."""
    model, path = build("small_cnn", 5, seed=1), tmp_path / "w.pt"
    torch.save(model.state_dict(), path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    path.write_bytes(content)
    torch.load(path, weights_only=True)
    with pytest.raises(UserError, match="checksum"):
        load_weights(model, path)


def test_weights_that_diverged_are_refused(tmp_path):
    model, path = build("small_cnn", 5, seed=1), tmp_path / "w.pt"
    state = {k: v.clone() for k, v in model.state_dict().items()}
    state["head.bias"][3] = float("nan")
    torch.save(state, path)
    with pytest.raises(UserError, match=r"NaN or infinity in head\.bias"):
        load_weights(model, path)


def test_files_that_are_none(tmp_path):
    model = build("small_cnn", 5)
    with pytest.raises(UserError, match="not there"):
        load_weights(model, tmp_path / "none.pt")
    with pytest.raises(UserError, match="a folder"):
        load_weights(model, tmp_path)
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(UserError, match="no state dict"):
        load_weights(model, tmp_path / "list.pt")
    torch.save({"epoch": 3}, tmp_path / "numbers.pt")
    with pytest.raises(UserError, match="no state dict"):
        load_weights(model, tmp_path / "numbers.pt")
