"""Checkpoints: whole or not at all, never code, never another run's."""

import os
import pickle

import pytest
import torch

from augwise.errors import UserError
from augwise.files import require_writable, write_atomically
from augwise.training.checkpoint import (
    Checkpoint,
    differences,
    plain,
    save_weights,
)

STATE = {"epoch": 3, "weights": torch.arange(3000.0), "curve": [{"epoch": 1, "lr": 0.1}]}


def _saved(tmp_path, identity=None, circumstances=None):
    checkpoint = Checkpoint(tmp_path / "checkpoint.pt", identity or {"config": {"lr": 0.1}}, circumstances or {})
    checkpoint.save(STATE)
    return checkpoint


def test_what_is_saved_is_loaded(tmp_path):
    checkpoint = _saved(tmp_path)
    state = Checkpoint(checkpoint.path, checkpoint.identity).load()
    assert torch.equal(state["weights"], STATE["weights"])
    assert state["curve"] == STATE["curve"]
    assert os.listdir(tmp_path) == ["checkpoint.pt"]  # noqa: PTH208
    checkpoint.remove()
    assert Checkpoint(checkpoint.path).load() is None


def test_every_damage_is_refused(tmp_path):
    path = _saved(tmp_path).path
    whole = path.read_bytes()
    damaged = [whole[:n] for n in (0, 1, 100, len(whole) // 2, len(whole) - 1)]
    place = whole.index(torch.tensor([1000.0, 1001.0]).numpy().tobytes())
    damaged.append(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])  # one bit of one weight
    damaged.append(b"not a checkpoint")
    for content in damaged:
        path.write_bytes(content)
        with pytest.raises(UserError, match=r"checkpoint.pt is damaged .*delete it to start the run anew"):
            Checkpoint(path, {"config": {"lr": 0.1}}).load()


class Malicious:
    def __reduce__(self):
        return os.system, (f"touch {self.target}",)


def test_a_planted_checkpoint_runs_no_code(tmp_path):
    Malicious.target = tmp_path / "harm"
    path = tmp_path / "checkpoint.pt"
    torch.save({"format": 1, "identity": {}, "circumstances": {}, "state": Malicious()}, path)
    with pytest.raises(UserError, match="could run code; none was run"):
        Checkpoint(path).load()
    path.write_bytes(pickle.dumps(Malicious()))
    with pytest.raises(UserError, match="damaged or no checkpoint"):
        Checkpoint(path).load()
    assert not Malicious.target.exists()
    pickle.loads(path.read_bytes())  # the plant would have worked
    assert Malicious.target.exists()


def test_a_torch_file_of_something_else_and_another_format_are_refused(tmp_path):
    path = tmp_path / "checkpoint.pt"
    torch.save({"weight": torch.zeros(2)}, path)
    with pytest.raises(UserError, match="no checkpoint of augwise"):
        Checkpoint(path).load()
    torch.save({"format": 99, "identity": {}, "circumstances": {}, "state": {}}, path)
    with pytest.raises(UserError, match="format 99"):
        Checkpoint(path).load()


def test_another_run_is_refused_with_old_and_new_value(tmp_path):
    path = _saved(tmp_path, {"config": {"lr": 0.1, "epochs": 5}, "data": 7}).path
    with pytest.raises(UserError, match=r"config\.lr: 0\.1 there, 0\.2 now; data: 7 there, 8 now\. Set it back"):
        Checkpoint(path, {"config": {"lr": 0.2, "epochs": 5}, "data": 8}).load()


def test_a_setting_that_a_later_version_adds_had_its_default(tmp_path):
    path = _saved(tmp_path, {"config": {"lr": 0.1}}).path
    defaults = {"config": {"lr": 9.0, "new": 5}}
    assert Checkpoint(path, {"config": {"lr": 0.1, "new": 5}}, defaults=defaults).load() is not None
    with pytest.raises(UserError, match=r"another run: config\.new: 5 there, 6 now\. Set"):
        Checkpoint(path, {"config": {"lr": 0.1, "new": 6}}, defaults=defaults).load()


def test_other_circumstances_are_warned_of(tmp_path):
    checkpoint = _saved(tmp_path, circumstances={"threads": 1})
    with pytest.warns(UserWarning, match="threads: 1 there, 2 now"):
        assert Checkpoint(checkpoint.path, checkpoint.identity, {"threads": 2}).load() is not None


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = _saved(tmp_path).path
    before = path.read_bytes()

    def full(file):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    with pytest.raises(UserError, match=r"No space left on device.*make room"):
        write_atomically(path, full)
    assert path.read_bytes() == before


def test_unwritable_folders_are_found_before_work(tmp_path):
    require_writable(tmp_path / "new" / "folder")
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written to"):
        require_writable(tmp_path / "file")
    with pytest.raises(UserError, match="cannot be written to"):
        require_writable(tmp_path / "file" / "below")


def test_due_by_steps(tmp_path):
    checkpoint = Checkpoint(tmp_path / "c.pt", every_steps=3)
    due = []
    for _ in range(7):
        due.append(checkpoint.due())
        if due[-1]:
            checkpoint.save({})
    assert due == [False, False, True] * 2 + [False]
    assert not Checkpoint(tmp_path / "c.pt").due()
    assert Checkpoint(tmp_path / "c.pt", every_seconds=1e-9).due()


def test_differences_name_what_is_unset_on_either_side():
    old, new = {"a": {"b": 1}, "c": 2, "same": [1]}, {"a": {"b": 3, "d": 4}, "same": [1]}
    assert differences(old, new) == ["a.b: 1 there, 3 now", "a.d: unset there, 4 now", "c: 2 there, unset now"]
    assert plain({"p": (1, 2)}) == {"p": [1, 2]}


def test_weights_of_shared_tensors_and_channels_last(tmp_path):
    from safetensors.torch import load_file

    model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.Conv2d(3, 4, 3)).to(
        memory_format=torch.channels_last
    )
    model[1].weight = model[0].weight
    save_weights(model, tmp_path / "w.safetensors")
    loaded = load_file(tmp_path / "w.safetensors")
    for name, value in model.state_dict().items():
        assert torch.equal(loaded[name], value)


def test_a_full_disk_is_told_and_leaves_the_old_file(tmp_path):
    resource = pytest.importorskip("resource")
    checkpoint = Checkpoint(tmp_path / "c.pt")
    checkpoint.save({"step": 1})
    before, limits = checkpoint.path.read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))  # as a full disk: a write that ends early
    try:
        with pytest.raises(UserError, match=r"c\.pt cannot be written \(File too large\): make room"):
            checkpoint.save({"weights": torch.zeros(100_000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [p.name for p in tmp_path.iterdir()] == ["c.pt"]
    assert checkpoint.path.read_bytes() == before
