"""How many tasks of a group may be live at once."""

from collections import Counter
from collections.abc import Mapping


class Groups:
    """Limits are set by people and kept in the store; what is live is counted from the live attempts."""

    def __init__(self) -> None:
        self.limits: dict[str, int] = {}
        self.live: Counter[str] = Counter()
        self.changes = 0
        """Counts what may have made room."""

    def set_limits(self, limits: Mapping[str, int]) -> None:
        self.limits = dict(limits)
        self.changes += 1

    def has_room(self, group: str | None) -> bool:
        if group is None:
            return True
        limit = self.limits.get(group)
        return limit is None or self.live[group] < limit

    def enter(self, group: str | None) -> None:
        if group is not None:
            self.live[group] += 1

    def leave(self, group: str | None) -> None:
        if group is None:
            return
        self.changes += 1
        self.live[group] -= 1
        if self.live[group] <= 0:
            del self.live[group]

    def why_not_now(self, group: str | None) -> str | None:
        if group is None or self.has_room(group):
            return None
        return f"group limit {group} {self.live[group]}/{self.limits[group]}"
