"""Run tasks in threads or on a cluster, reproducibly, and stop all of them when one fails."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import contextmanager
from functools import partial
from typing import TypeVar

import torch
from threadpoolctl import threadpool_limits

from pruncam._core.cluster import Cluster
from pruncam._core.progress import Progress

Task = TypeVar("Task")
Result = TypeVar("Result")


def run_tasks(
    work: Callable[[Task], Result], tasks: Sequence[Task], jobs: int | Cluster, progress: Progress
) -> list[Result]:
    """Return `work(task)` for every task, in the order of `tasks`, by `jobs` threads or a cluster.

    PyTorch and the BLAS library run on one thread each, so that sums do not depend on the number of
    cores. After an error or Ctrl-C the other tasks are asked to stop (`progress.check`), and the
    error is raised once they have. See `Cluster.run` for what can be sent to a cluster.
    """
    if isinstance(jobs, Cluster):
        return jobs.run(partial(_on_one_thread, work), tasks, progress)
    with one_thread(), ThreadPoolExecutor(jobs) as pool:
        futures = [pool.submit(work, task) for task in tasks]
        try:
            finished, unfinished = wait(futures, return_when=FIRST_EXCEPTION)
        except BaseException:
            _cancel(pool, progress)
            raise
        if unfinished:
            _cancel(pool, progress)
        for future in finished:
            future.result()  # raises the error that ended the wait
        return [future.result() for future in futures]


@contextmanager
def one_thread() -> Iterator[None]:
    """Let PyTorch and the BLAS library run on one thread each."""
    torch_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1, user_api="blas"):
            yield
    finally:
        torch.set_num_threads(torch_threads)


def _on_one_thread(work: Callable[[Task], Result], task: Task) -> Result:
    with one_thread():
        return work(task)


def _cancel(pool: ThreadPoolExecutor, progress: Progress) -> None:
    progress.stop()
    pool.shutdown(wait=True, cancel_futures=True)
