"""Compare a network with its baseline after every epoch of a training."""

import copy
import os
import warnings
from typing import Any, Protocol, Unpack

import pandas as pd
from torch import nn

from pruncam import metrics, scoring
from pruncam._core.validation import check_layers, check_number, check_path
from pruncam.datasets.batches import Images
from pruncam.scoring import Options
from pruncam.scoring.options import resolve_options


class _Writer(Protocol):
    def add_scalar(self, tag: str, scalar_value: float, global_step: int) -> object: ...


class CompareCallback:
    """Scores of a network in training against its baseline, epoch by epoch.

    A plain loop calls `on_epoch_end(model, epoch)` after each epoch. In Lightning:
    `Trainer(callbacks=[LambdaCallback(on_train_epoch_end=callback.on_train_epoch_end)])`.

    Parameters
    ----------
    baseline : the unpruned network; copied, so that training may go on with the same object
    images : what `scoring.score` takes, such as a DataLoader of (images, labels)
    log_dir : folder for TensorBoard, optional
        Needs the package tensorboard; without it there is a warning, and nothing is logged.
    every : number of epochs from one comparison to the next
    options : of `scoring.score`; by default one CAM, "grad-cam", and no progress bar

    Attributes
    ----------
    history : DataFrame with a row per compared epoch, CAM and score
        `epoch`, `method`, `score`, its `mean` over the images, and the shares `baseline_empty` and
        `pruned_empty` of empty maps.

    Examples
    --------
    >>> import torch
    >>> from pruncam import networks, pruning
    >>> baseline = networks.mnist_net()
    >>> callback = CompareCallback(baseline, torch.rand(4, 1, 28, 28))
    >>> model = pruning.global_unstructured(baseline, 0.5)
    >>> for epoch in range(2):
    ...     means = callback.on_epoch_end(model, epoch)  # after the training of the epoch
    >>> callback.history["epoch"].unique().tolist(), list(means)[:2]
    ([0, 1], ['grad-cam/ssim', 'grad-cam/spectral_angle'])
    """

    def __init__(
        self,
        baseline: nn.Module,
        images: Images,
        *,
        log_dir: str | os.PathLike | None = None,
        every: int = 1,
        **options: Unpack[Options],
    ) -> None:
        check_layers(baseline, "baseline")
        if log_dir is not None:
            check_path("log_dir", log_dir)
        check_number("every", every, whole=True, at_least=1)
        chosen: Options = {"methods": ["grad-cam"], "progress": False, **options}
        resolve_options(chosen)  # before the first epoch is trained
        self._baseline = copy.deepcopy(baseline).eval()
        self._images = images
        self._every = every
        self._options = chosen
        self._writer = None if log_dir is None else _tensorboard_writer(log_dir)
        self._tables: list[pd.DataFrame] = []

    @property
    def history(self) -> pd.DataFrame:
        """Return the scores of all compared epochs."""
        columns = ["epoch", "method", "score", "mean", *scoring.EMPTY_COLUMNS]
        if not self._tables:
            return pd.DataFrame(columns=columns)
        return pd.concat(self._tables, ignore_index=True)[columns]

    def on_epoch_end(self, model: nn.Module, epoch: int) -> dict[str, float]:
        """Score `model` against the baseline after `epoch`, counted from 0; return the means.

        They are named by CAM and score ("grad-cam/sp2ps"). Returns nothing in epochs that are left
        out. The model stays as it is. Raises what `scoring.score` raises.
        """
        if (epoch + 1) % self._every:
            return {}
        rows = scoring.score(self._baseline, model, self._images, **self._options)
        scores = [*metrics.SCORES, *self._options.get("custom_scores", {})]
        keys = ["method", *scoring.EMPTY_COLUMNS]
        means = rows.groupby("method", observed=True)[[*scores, *scoring.EMPTY_COLUMNS]].mean()
        table = means.reset_index().melt(keys, var_name="score", value_name="mean")
        table.insert(0, "epoch", epoch)
        self._tables.append(table.astype({"method": str}))
        values = {f"{row.method}/{row.score}": row.mean for row in table.itertuples(name="Row")}
        if self._writer is not None:
            for name, value in values.items():
                self._writer.add_scalar(f"heatmaps/{name}", value, epoch)
        return values

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Score the network of a Lightning training and log the means with its logger."""
        values = self.on_epoch_end(pl_module, trainer.current_epoch)
        if values:
            pl_module.log_dict({f"heatmaps/{name}": value for name, value in values.items()})


def _tensorboard_writer(log_dir: str | os.PathLike) -> _Writer | None:
    """Return a writer to a folder; warn and return None if TensorBoard is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        warnings.warn("nothing is logged to TensorBoard: pip install tensorboard", stacklevel=3)
        return None
    return SummaryWriter(os.fspath(log_dir))
