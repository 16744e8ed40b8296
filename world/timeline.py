"""The tree of places where a walk has been, as a value: every verb returns a new tree, no place is ever lost.

Nodes are numbered in the order of their making; what was seen at a node is kept elsewhere (`world.shelf`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

NOWHERE = -1  # the parent of a beginning, and `here` before the first


@dataclass(frozen=True)
class Timeline:
    """A forest with one node marked as here; walking on from a node that has been left makes a fork."""

    parents: tuple[int, ...] = ()
    leads: tuple[int, ...] = ()  # the child through which the walk last went on from a node, or NOWHERE
    here: int = NOWHERE
    bookmarks: frozenset[int] = frozenset()

    def __len__(self) -> int:
        return len(self.parents)

    def begun(self) -> Timeline:
        """With a new beginning, which is here."""
        return self._grown(NOWHERE)

    def stepped(self) -> Timeline:
        """With a new node after here, which is here."""
        if self.here == NOWHERE:
            raise ValueError("a walk needs a beginning before its first step: call begun()")
        return self._grown(self.here)

    def undone(self) -> Timeline:
        """One node back; the same timeline at a beginning."""
        parent = self.parents[self.here] if self.parents else NOWHERE
        return self if parent == NOWHERE else replace(self, here=parent)

    def redone(self) -> Timeline:
        """One node on, where the walk went last; the same timeline at an end."""
        child = self.leads[self.here] if self.leads else NOWHERE
        return self if child == NOWHERE else replace(self, here=child)

    def at(self, node: int) -> Timeline:
        """Somewhere else; the way there becomes the current one. Raises ValueError for a node that is not there."""
        self._check(node)
        leads = list(self.leads)
        child = node
        for parent in self._ancestors(node):
            leads[parent] = child
            child = parent
        return replace(self, leads=tuple(leads), here=node)

    def bookmarked(self) -> Timeline:
        """With a bookmark here, or without the one that was here."""
        return self if self.here == NOWHERE else replace(self, bookmarks=self.bookmarks ^ {self.here})

    def at_next_bookmark(self) -> Timeline:
        """At the next bookmark in the order of making, round and round; the same timeline where there is none."""
        ahead = sorted(self.bookmarks, key=lambda node: (node <= self.here, node))
        return self.at(ahead[0]) if ahead else self

    def path(self) -> tuple[int, ...]:
        """From the beginning to here, both included."""
        if self.here == NOWHERE:
            return ()
        return (*reversed(list(self._ancestors(self.here))), self.here)

    def line(self) -> tuple[int, ...]:
        """The path, and from here on where the walk last went."""
        return (*self.path(), *self._onward(self.here)) if self.parents else ()

    def children(self, node: int) -> tuple[int, ...]:
        """The nodes after `node`, or all beginnings for NOWHERE, oldest first."""
        return tuple(child for child, parent in enumerate(self.parents) if parent == node)

    def branches(self) -> list[tuple[int, ...]]:
        """All that lies beside the line: each branch from its first node to its end, oldest first."""
        seen = set(self.line())
        branches = []
        for node in range(len(self)):
            if node not in seen:  # so it goes on from no node before it: a branch begins
                branches.append((node, *self._onward(node)))
                seen.update(branches[-1])
        return branches

    def peers(self) -> tuple[int, ...]:
        """Nodes on other branches that are as many steps from their beginning as here, newest first."""
        if self.here == NOWHERE:
            return ()
        depths = self.depths()
        depth = depths[self.here]
        return tuple(node for node in reversed(range(len(self))) if depths[node] == depth and node != self.here)

    def depths(self) -> list[int]:
        """How many steps each node is from its beginning."""
        depths: list[int] = []
        for parent in self.parents:
            depths.append(0 if parent == NOWHERE else depths[parent] + 1)
        return depths

    def _ancestors(self, node: int) -> Iterator[int]:
        while (node := self.parents[node]) != NOWHERE:
            yield node

    def _onward(self, node: int) -> Iterator[int]:
        while (node := self.leads[node]) != NOWHERE:
            yield node

    def _grown(self, parent: int) -> Timeline:
        node = len(self.parents)
        leads = list(self.leads)
        if parent != NOWHERE:
            leads[parent] = node
        return replace(self, parents=(*self.parents, parent), leads=(*leads, NOWHERE), here=node)

    def _check(self, node: int) -> None:
        if not 0 <= node < len(self.parents):
            raise ValueError(f"node {node} is not in this timeline, which has {len(self.parents)}")
