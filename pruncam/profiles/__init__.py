"""The studies' settings: one YAML file per profile and study, and how they are read."""

from pruncam.profiles.dataset_spec import DatasetSpec
from pruncam.profiles.reader import read_config

__all__ = ["DatasetSpec", "read_config"]
