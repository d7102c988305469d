"""Compare two networks of the user: checkpoints and images in, a report out.

`load` reads the files, `compare` returns a `Report`, and `example_files` writes a pair of
checkpoints to try it on. `load_network` returns a single network with the weights of a checkpoint.
`compare_shard` measures a part of the images, `save_shard` writes it to a folder, and `merge`
returns the report of all parts. `CompareCallback` compares a network with its baseline after every
epoch of a training.
"""

from pruncam.comparison.callback import CompareCallback
from pruncam.comparison.command_line import Outcome, command, merge_command, shard_command
from pruncam.comparison.command_options import CommandOptions, ReportOptions
from pruncam.comparison.comparing import compare, compare_shard
from pruncam.comparison.example_pair import (
    EXAMPLE_MEAN,
    EXAMPLE_STD,
    example_files,
    files_or_example,
)
from pruncam.comparison.files import Files, load
from pruncam.comparison.merging import merge
from pruncam.comparison.model_spec import load_network
from pruncam.comparison.pair import Pair
from pruncam.comparison.report import Report
from pruncam.comparison.settings import Settings
from pruncam.comparison.shard_files import save_shard
from pruncam.comparison.shards import Shard

__all__ = [
    "EXAMPLE_MEAN",
    "EXAMPLE_STD",
    "CommandOptions",
    "CompareCallback",
    "Files",
    "Outcome",
    "Pair",
    "Report",
    "ReportOptions",
    "Settings",
    "Shard",
    "command",
    "compare",
    "compare_shard",
    "example_files",
    "files_or_example",
    "load",
    "load_network",
    "merge",
    "merge_command",
    "save_shard",
    "shard_command",
]
