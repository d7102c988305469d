"""The MNIST IoU study (thesis): do heatmaps fit their digits less as a network is pruned?"""

from pruncam.studies.mnist_iou.config import VARIANTS, MnistIouConfig
from pruncam.studies.mnist_iou.study import configure, run

__all__ = ["VARIANTS", "MnistIouConfig", "configure", "run"]
