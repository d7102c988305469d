"""The options of `pruncam reproduce` and `pruncam cache`."""

from dataclasses import dataclass, field

from pruncam._core import cache_files
from pruncam._core.validation import DEVICES, PROFILES, check_choice, check_cluster


@dataclass(frozen=True)
class RunOptions:
    """The options of one run of the notebooks.

    An empty `study`, `data` or `cluster` counts as not given, as `make` passes it. Raises
    ValueError for an unknown profile or device, or a cluster that is no address.
    """

    profile: str = field(
        default="quick",
        metadata={"help": f"one of {', '.join(PROFILES)}"},
    )
    study: str | None = field(
        default=None,
        metadata={"help": "run only this study, such as mnist_iou", "metavar": "NAME"},
    )
    device: str = field(
        default="auto",
        metadata={"help": f"one of {', '.join(DEVICES)}"},
    )
    data: str | None = field(
        default=None,
        metadata={
            "help": "folder with data sets, searched before PRUNCAM_DATA and data/",
            "metavar": "DIR",
        },
    )
    cluster: str | None = field(
        default=None,
        metadata={
            "help": "compute on the workers of this dask scheduler: tcp://host:port or "
            "tls://host:port",
            "metavar": "ADDRESS",
        },
    )

    def __post_init__(self) -> None:
        check_choice("profile", self.profile, PROFILES)
        check_choice("device", self.device, DEVICES)
        if self.cluster:
            check_cluster(self.cluster)


@dataclass(frozen=True)
class CacheOptions:
    """The options of `pruncam cache`. Raises ValueError if a duration or size is none."""

    older_than: str | None = field(
        default=None,
        metadata={"metavar": "AGE", "help": "remove what was not used for so long, such as 30d"},
    )
    keep: str | None = field(
        default=None,
        metadata={
            "metavar": "SIZE",
            "help": "remove what was not used for longest, until no more than this remains: 5GB",
        },
    )
    dry_run: bool = field(
        default=False, metadata={"help": "only say what would be removed, and remove nothing"}
    )

    def __post_init__(self) -> None:
        _ = self.seconds, self.bytes

    @property
    def seconds(self) -> float | None:
        """Return the age in seconds."""
        return None if self.older_than is None else cache_files.duration(self.older_than)

    @property
    def bytes(self) -> int | None:
        """Return the size in bytes."""
        return None if self.keep is None else cache_files.size(self.keep)
