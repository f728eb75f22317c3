"""Several processes of one machine that fill one store: who am I, wait for each other, fail together."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from torch import distributed as dist

from ..errors import UserError

_PATIENCE = timedelta(days=30)  # the fastest process waits for the slowest at the end
_TORCHRUN = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


class Processes:
    """``with Processes() as processes:`` — this process's ``rank`` of ``world``, as torchrun started them.

    Uses torch.distributed where it is initialised already (by a group of its own on gloo), initialises it where
    torchrun's variables are set, and is a single process elsewhere. Processes on several machines are refused: two
    machines must never write one store.
    """

    def __init__(self) -> None:
        self.rank, self.world = 0, 1
        self._group: Any = None
        self._started = False

    def __enter__(self) -> Processes:
        if not dist.is_available():
            return self
        if not dist.is_initialized():
            if not all(os.environ.get(name) for name in _TORCHRUN) or int(os.environ["WORLD_SIZE"]) < 2:
                return self
            _one_machine()
            dist.init_process_group("gloo", timeout=_PATIENCE)
            self._started = True
        _one_machine()
        self.rank, self.world = dist.get_rank(), dist.get_world_size()
        if self.world > 1:
            self._group = dist.new_group(backend="gloo", timeout=_PATIENCE)
        return self

    def __exit__(self, *_: object) -> None:
        if self._started:
            dist.destroy_process_group()
        elif self._group is not None:
            dist.destroy_process_group(self._group)
        self._group, self._started = None, False

    def first(self, work: Callable[[], None]) -> None:
        """Process 0 works while the others wait; its `UserError` becomes everybody's."""
        message: list[str | None] = [None]
        if self.rank == 0:
            try:
                work()
            except UserError as error:
                message[0] = str(error)
                if self.world == 1:
                    raise
        if self._group is not None:
            dist.broadcast_object_list(message, group_src=0, group=self._group)
        if message[0] is not None:
            raise UserError(message[0])

    def wait(self) -> None:
        """Until all processes have come here."""
        if self._group is not None:
            dist.barrier(group=self._group)


def _one_machine() -> None:
    world, local = os.environ.get("WORLD_SIZE"), os.environ.get("LOCAL_WORLD_SIZE")
    if world and local and world != local:
        raise UserError(
            f"{world} processes on several machines ({local} on this one) would share one store: start each machine "
            "by itself with part=(i, n) and a folder of its own, then join them with augwise merge"
        )
