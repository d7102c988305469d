"""Assemble a report from measurements: tables, figures and their summary."""

from pruncam.comparison import figures
from pruncam.comparison.measurements import Measurements
from pruncam.comparison.on_objects import objects_table
from pruncam.comparison.other_layers import other_layers_table
from pruncam.comparison.report import Report
from pruncam.comparison.summary_text import paragraphs
from pruncam.comparison.tables import PRUNED, build_tables


def report_of(measured: Measurements) -> Report:
    """Return the report of measurements on all images."""
    facts = measured.facts
    tables = build_tables(measured)
    if measured.layer_rows is not None:
        other_layers = other_layers_table(measured.layer_rows, measured.rows, PRUNED, facts)
        tables["other_layers"] = other_layers
    if measured.faithfulness is not None:
        tables["faithfulness"] = measured.faithfulness
    if measured.hits is not None:
        tables["objects"] = objects_table(measured.hits, facts)
    moved = figures.moved_images(measured.pictures, tables["moved"])
    return Report(
        summary=paragraphs(tables, facts.left_out),
        tables=tables,
        drawings=figures.drawings(tables, facts.scores, moved),
        manifest=dict(facts.manifest),
    )
