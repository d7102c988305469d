"""Run tasks in parallel threads, reproducibly, and stop all of them when one fails."""

from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from typing import TypeVar

import torch
from threadpoolctl import threadpool_limits

from pruncam._core.progress import Progress

Task = TypeVar("Task")
Result = TypeVar("Result")


def run_tasks(
    work: Callable[[Task], Result], tasks: Sequence[Task], jobs: int, progress: Progress
) -> list[Result]:
    """Return `work(task)` for every task, in the order of `tasks`, computed in `jobs` threads.

    PyTorch and the BLAS library run on one thread each, so that sums do not depend on the number of
    cores. After an error or Ctrl-C the other tasks are asked to stop (`progress.check`), and the
    error is raised once they have.
    """
    torch_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(jobs) as pool:
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
    finally:
        torch.set_num_threads(torch_threads)


def _cancel(pool: ThreadPoolExecutor, progress: Progress) -> None:
    progress.stop()
    pool.shutdown(wait=True, cancel_futures=True)
