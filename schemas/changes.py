"""The change log's vocabulary (design decision 3): what was touched, never its content."""

from enum import IntEnum


class ChangeKind(IntEnum):
    """CREATED to UNFROZEN name suffixes of a prefix; the rest a whole range, prefix, template, grant or enterprise.

    RETIRED and RESTORED without suffixes count members of a range, whose RANGE_CHANGED stands beside them.
    """

    CREATED = 1
    CHANGED = 2
    RETIRED = 3
    RESTORED = 4
    FROZEN = 5
    UNFROZEN = 6
    RANGE_CREATED = 7
    RANGE_CHANGED = 8
    PREFIX = 9
    TEMPLATE = 10
    GRANT = 11
    ENTERPRISE = 12
