"""Claims: one holder at a time, whoever asks, and none for ever."""

from __future__ import annotations

import json
import multiprocessing
import os
import time

from augwise.recipes import claims
from augwise.recipes.claims import claimed, is_claimed, waited


def test_one_holder_at_a_time_and_none_after_it(tmp_path):
    path = tmp_path / "work" / "claim.json"
    with claimed(path) as first:
        assert first
        assert is_claimed(path)
        with claimed(path) as second:
            assert not second
        assert is_claimed(path)  # who did not get it takes nothing away
    assert not is_claimed(path)
    assert list(path.parent.iterdir()) == []
    with claimed(path) as again:
        assert again


def _append(path, out, times):
    for _ in range(times):
        with waited(path, patience=0.001):
            before = out.read_text() if out.exists() else ""
            time.sleep(0.001)  # long enough for another to come between, were it let in
            out.write_text(before + f"{os.getpid()}\n")


def test_processes_that_wait_for_each_other_lose_nothing(tmp_path):
    context = multiprocessing.get_context("fork")
    out, path = tmp_path / "log", tmp_path / "claim.json"
    workers = [context.Process(target=_append, args=(path, out, 25)) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
        assert worker.exitcode == 0
    lines = out.read_text().split()
    assert len(lines) == 100
    assert {lines.count(pid) for pid in lines} == {25}


def _hold(path, ready):
    with claimed(path):
        ready.set()
        time.sleep(600)


def test_what_a_killed_process_left_is_taken_over_at_once(tmp_path):
    context = multiprocessing.get_context("fork")
    path, ready = tmp_path / "claim.json", context.Event()
    holder = context.Process(target=_hold, args=(path, ready))
    holder.start()
    assert ready.wait(30)
    assert is_claimed(path)
    holder.kill()
    holder.join()
    assert path.exists()
    assert not is_claimed(path)
    with claimed(path) as ours:
        assert ours


def foreign(path, age):
    path.write_text(json.dumps({"host": "another machine", "pid": os.getpid(), "started": "1", "token": "x"}))
    then = time.time() - age
    os.utime(path, (then, then))


def test_another_machine_is_gone_when_it_has_not_touched_its_claim_for_long(tmp_path):
    path = tmp_path / "claim.json"
    foreign(path, claims.GONE - 60)
    with claimed(path) as ours:
        assert not ours
    assert json.loads(path.read_text())["host"] == "another machine"
    foreign(path, claims.GONE + 60)
    with claimed(path) as ours:
        assert ours
    assert not path.exists()


def test_a_claim_is_touched_while_it_is_held(tmp_path, monkeypatch):
    monkeypatch.setattr(claims, "TOUCHED", 0.05)
    path = tmp_path / "claim.json"
    with claimed(path):
        os.utime(path, (1, 1))
        deadline = time.monotonic() + 20
        while path.stat().st_mtime < 1000 and time.monotonic() < deadline:
            time.sleep(0.02)
        assert path.stat().st_mtime > 1000


def test_who_lost_a_claim_does_not_take_the_next_ones_away(tmp_path):
    path = tmp_path / "claim.json"
    with claimed(path):
        foreign(path, 0)  # another took over what it thought was left behind
    assert json.loads(path.read_text())["token"] == "x"


def test_half_a_claim_is_nobodys(tmp_path):
    path = tmp_path / "claim.json"
    path.write_text('{"host": "ano')
    os.utime(path, (1, 1))
    with claimed(path) as ours:
        assert ours
