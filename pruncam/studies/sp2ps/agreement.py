"""Do Sp2PS and PE agree on an image, beyond the SSIM that both contain? (beyond the paper)"""

import pandas as pd

from pruncam.statistics import partial_rank_correlation, rank_correlation
from pruncam.studies.paired_scores import PairedScores

_SCORES = ("sp2ps", "pe", "ssim")


def score_agreement(scores: PairedScores) -> pd.DataFrame:
    """Return how alike Sp2PS and PE rank the images of each pruned model, by CAM method.

    Columns: `spearman` of the two over the images, mean of the trainings; `without_ssim`, the same
    without what both share with SSIM (partial correlation), NaN where nothing is left.
    """
    rows = []
    for dataset, rule, rate in scores.pruned_models:
        for method in scores.config.methods:
            arrays = [scores.of(dataset, rule, rate, method, score) for score in _SCORES]
            by_training = list(zip(*arrays, strict=True))
            together = [rank_correlation(sp2ps, [pe])[0] for sp2ps, pe, _ in by_training]
            partial = [partial_rank_correlation(*series) for series in by_training]
            rows.append(
                {
                    "dataset": dataset,
                    "rule": rule,
                    "rate": rate,
                    "method": method,
                    "images": arrays[0].shape[1],
                    "spearman": sum(together) / len(together),
                    "without_ssim": sum(partial) / len(partial),
                }
            )
    return pd.DataFrame(rows)
