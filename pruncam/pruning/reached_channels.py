"""The channels of other layers that depend on the filters of a layer, in Torch-Pruning's graph."""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple


class ChannelIndex(NamedTuple):
    """A channel, and the filter of the first layer on which it depends.

    The fields have the names that Torch-Pruning's maps of indices read.
    """

    idx: int
    root_idx: int


class Untraceable(Exception):
    """The channels of a layer cannot be followed through the network.

    The message completes "its channels are ...".
    """


Reached = tuple[Any, Any, list[tuple[int, int]]]  # node, its pruning function, (channel, filter)


def reached_channels(
    graph: Any,
    root: Any,
    filters: Iterable[ChannelIndex],
    *,
    limit: int,
) -> Iterator[Reached]:
    """Iterate over all that depends on filters of one layer: nodes of the graph and channels.

    Torch-Pruning guesses the channels behind reshapes, splits and broadcasts. A guess that a layer
    does not have, or that mixes filters, is refused here before it is cut.

    Parameters
    ----------
    graph : Torch-Pruning's DependencyGraph
    root : the dependency that removes the filters
    filters : of the layer of `root`
    limit : the largest number of channels of any layer

    Raises
    ------
    Untraceable
        If a channel does not exist or belongs to several filters.
    """
    found: dict[tuple[Any, Any], dict[int, int]] = {}
    stack = [(root, list(filters))]
    while stack:
        dependency, indices = stack.pop()
        key = dependency.target, dependency.handler
        filter_of = found.setdefault(key, {})
        new = [index for index in indices if filter_of.get(index.idx) != index.root_idx]
        if not new:
            continue
        _check(new, filter_of, min(limit, _channel_count(graph, dependency, limit)))
        filter_of.update(new)
        for following in dependency.target.dependencies:
            if following.is_triggered_by(dependency.handler):
                stack.append((following, _mapped(new, following.index_mapping)))
    for (node, handler), filter_of in found.items():
        if filter_of:
            yield node, handler, list(filter_of.items())


def _check(new: list[ChannelIndex], filter_of: dict[int, int], count: int) -> None:
    """Raise Untraceable if a channel does not exist or belongs to several filters."""
    if any(index.idx >= count for index in new):
        raise Untraceable("split, broadcast or reshaped")
    merged = dict(new)
    if len(merged) < len(set(new)) or merged.keys() & filter_of.keys():
        raise Untraceable("mixed with each other")


def _channel_count(graph: Any, dependency: Any, limit: int) -> int:
    """Return the number of channels that a dependency cuts, `limit` if that is not known."""
    node = dependency.target
    if graph.is_out_channel_pruning_fn(dependency.handler):
        count = graph.get_out_channels(node)
    else:
        count = graph.get_in_channels(node)
    return limit if count is None else count


def _mapped(indices: list[ChannelIndex], mappings: Iterable[Any]) -> list[ChannelIndex]:
    for mapping in mappings:
        if mapping is not None:
            indices = [ChannelIndex(*index) for index in mapping(indices)]
    return indices
