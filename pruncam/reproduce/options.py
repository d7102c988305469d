"""The options of `pruncam reproduce`."""

from dataclasses import dataclass, field

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
