"""A comparison on a cluster: the workers measure its shards, and this process merges them.

A shard is a folder in the cache that all machines share, under the hash of the whole job, so that
an interrupted comparison continues with the shards that are missing.
"""

import math
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from pruncam._core.cluster import Cluster
from pruncam._core.executor import run_tasks
from pruncam._core.paths import cache_folder
from pruncam._core.progress import Progress
from pruncam.comparison.command_options import CommandOptions, Run, load_pair, run_of
from pruncam.comparison.comparing import compare_shard
from pruncam.comparison.files import Files
from pruncam.comparison.measuring import Comparison
from pruncam.comparison.merging import merge
from pruncam.comparison.pair import Pair
from pruncam.comparison.report import Report
from pruncam.comparison.settings import Settings
from pruncam.comparison.shard_files import SHARD, save_shard, shard_folder
from pruncam.comparison.shards import job_of, key_of, parse_shard

_SHARDS_PER_WORKER = 4  # more than one, so that no worker waits long for the last


@dataclass(frozen=True)
class ShardUnit:
    """A shard of a comparison as plain values, and the folder of all shards.

    `device` is that of the process that sends the unit.
    """

    files: Files
    settings: Settings
    options: CommandOptions
    device: str
    shard: str
    folder: str


def report_on_cluster(
    files: Files, settings: Settings, options: CommandOptions, run: Run
) -> Report:
    """Return the report of a comparison whose images are measured on `options.cluster`.

    Copies of the baseline are fine-tuned here, before the workers need them. Raises ValueError if
    the cluster cannot compute, and what `load`, `compare` and `merge` raise.
    """
    local = replace(options, cluster=None)
    with Cluster(str(options.cluster)) as cluster:
        pair = load_pair(files, settings, local, run.machine)
        comparison = Comparison(pair, settings, **vars(run))
        comparison.check()
        batches = math.ceil(len(pair.images) / pair.images.batch_length)
        count = min(batches, _SHARDS_PER_WORKER * cluster.workers)
        key = key_of(job_of(comparison, count))
        folder = cache_folder().resolve() / "compared-shards" / key
        unit = ShardUnit(files, settings, local, pair.device.type, "", str(folder))
        units = [replace(unit, shard=f"{number}/{count}") for number in range(1, count + 1)]
        bar = Progress("compare on the cluster", "shard")
        bar.expect(count)
        try:
            run_tasks(measure_shard, units, cluster, bar)
        finally:
            bar.close()
    return merge(folder)


def measure_shard(unit: ShardUnit) -> bool:
    """Measure a shard, on a worker, unless its folder is there; return whether it was measured."""
    folder = Path(unit.folder)
    if (shard_folder(folder, *parse_shard(unit.shard)) / SHARD).is_file():
        return False
    pair = _pair(unit.files, unit.settings, unit.options, unit.device)
    run = run_of(replace(unit.options, device=unit.device))
    shard = compare_shard(unit.shard, pair, settings=unit.settings, progress=False, **vars(run))
    if shard.key != folder.name:
        raise ValueError(
            "a worker reads other checkpoints or images under the same paths than the process that "
            "compares them: put them on a folder that all machines share"
        )
    save_shard(shard, folder)
    return True


@lru_cache(maxsize=1)
def _pair(files: Files, settings: Settings, options: CommandOptions, device: str) -> Pair:
    """Return a pair, kept for the next shard of the same comparison."""
    machine = run_of(replace(options, device=device)).machine
    return load_pair(files, settings, options, machine, progress=False)
