"""Connected components (union-find)."""

from __future__ import annotations


class Components:
    """Of n things, each on its own at first; known by their smallest member."""

    def __init__(self, n: int) -> None:
        self._parent = list(range(n))

    def find(self, i: int) -> int:
        """The smallest member of i's component."""
        parent = self._parent
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    def join(self, i: int, j: int) -> int:
        """Make one component of two; its smallest member."""
        a, b = sorted((self.find(i), self.find(j)))
        self._parent[b] = a
        return a
