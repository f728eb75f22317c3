"""Real processes: killed at random moments, or two on one store, they leave the store of one quiet run."""

from __future__ import annotations

import multiprocessing
import os
import random
import socket
import time
from pathlib import Path

import pytest
import torch

from augwise.errors import UserError
from augwise.importance.estimate import estimate
from augwise.importance.store import ImportanceStore
from reference.store_case import Noisy, Pictures, classifier, contents

ROWS = 150


def fill(folder: str, images: int, environment: dict[str, str], done: str | None = None) -> None:
    """Run in a child process: estimate, slowly enough to be killed on the way."""
    os.environ.update(environment)
    torch.set_num_threads(1)
    try:
        estimate(classifier(), Pictures(images), folder, Noisy(pause=0.02), progress=False)
    except UserError as error:
        if done is not None:
            Path(done).write_text(str(error))
            return
        raise
    if done is not None:
        Path(done).write_text("finished")


@pytest.fixture(scope="module")
def children():
    """A server that has imported torch once and forks children from itself in milliseconds."""
    paths = [str(Path(__file__).parent), str(Path(__file__).parents[1])]
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([*paths, *([before] if before else [])])
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["test_estimate_processes"])
    yield context
    if before is None:
        del os.environ["PYTHONPATH"]
    else:
        os.environ["PYTHONPATH"] = before


def finish(process, limit: float = 60) -> int:
    process.join(limit)
    if process.exitcode is None:
        process.kill()
        pytest.fail(f"a child was still running after {limit} s")
    return process.exitcode


def quiet_run(folder: Path, *images: int) -> dict[str, bytes]:
    for n in images:
        estimate(classifier(), Pictures(n), folder, Noisy(pause=0.02), progress=False)
    return contents(folder)


def test_killed_at_random_moments_and_resumed_the_store_is_the_same(children, tmp_path):
    expected = quiet_run(tmp_path / "whole.maps", 50, ROWS)
    chance = random.Random(5)
    folder, kills, partial = tmp_path / "a.maps", 0, 0
    for images in (50, ROWS):  # the second time the store is grown, under fire as well
        for _ in range(60):
            process = children.Process(target=fill, args=(str(folder), images, {}))
            process.start()
            time.sleep(chance.uniform(0.02, 0.25))
            process.kill()
            kills += process.exitcode != 0 if finish(process) else 0
            if (folder / "meta.json").exists():
                try:
                    store = ImportanceStore(folder, allow_partial=True)
                except UserError:  # killed while it grew
                    continue
                done = int((store.status != 0).sum())
                partial += 0 < done < images
                if done == images:
                    break
        process = children.Process(target=fill, args=(str(folder), images, {}))
        process.start()
        assert finish(process) == 0
    assert kills >= 3
    assert partial >= 2
    assert {name: data for name, data in contents(folder).items() if name != "meta.json.part"} == expected


def free_port() -> str:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return str(server.getsockname()[1])


def torchrun(rank: int, world: int, local: int, port: str) -> dict[str, str]:
    return {
        "RANK": str(rank), "WORLD_SIZE": str(world), "LOCAL_RANK": str(rank), "LOCAL_WORLD_SIZE": str(local),
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "GLOO_SOCKET_IFNAME": "lo",
    }  # fmt: skip


def test_two_processes_fill_a_store_as_one_does(children, tmp_path):
    expected = quiet_run(tmp_path / "whole.maps", ROWS)

    def both(images: int, name: str, local: int = 2) -> list[str]:
        port = free_port()
        told = [tmp_path / f"{name}{rank}" for rank in range(2)]
        group = [
            children.Process(
                target=fill, args=(str(tmp_path / "a.maps"), images, torchrun(r, 2, local, port), str(told[r]))
            )
            for r in range(2)
        ]
        for process in group:
            process.start()
        assert [finish(process) for process in group] == [0, 0]
        return [path.read_text() for path in told]

    messages = both(ROWS, "machines", local=1)
    assert all("several machines" in message and "part=" in message for message in messages)
    assert not (tmp_path / "a.maps").exists()
    assert both(ROWS, "first") == ["finished", "finished"]
    assert contents(tmp_path / "a.maps") == expected
    (tmp_path / "a.maps" / "meta.json").write_text("{}")
    messages = both(ROWS, "refused")  # process 0 finds the fault, both stop with its message
    assert messages[0] == messages[1]
    assert "meta.json" in messages[0]


def test_a_second_process_is_refused_while_the_first_writes(children, tmp_path):
    first = children.Process(target=fill, args=(str(tmp_path / "a.maps"), 2000, {}))
    first.start()
    while not (tmp_path / "a.maps" / "meta.json").exists():
        time.sleep(0.01)
    with pytest.raises(UserError, match=f"process {first.pid}"):
        estimate(classifier(), Pictures(2000), tmp_path / "a.maps", Noisy(pause=0.02), progress=False)
    first.kill()
    finish(first)
