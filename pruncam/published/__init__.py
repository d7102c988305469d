"""What the papers print: tables of numbers, and the statements of their claims."""

from pruncam.published.printed_tables import read_printed

__all__ = ["read_printed"]
