"""pruncam: a pruned CNN kept its accuracy, but does it still look at the same pixels?"""

__version__ = "0.1.0"
