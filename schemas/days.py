"""A day is the date at UTC+8, wherever the node stands (design decision 16)."""

from datetime import date, datetime, timedelta, timezone

ZONE = timezone(timedelta(hours=8))


def get_day(at: datetime) -> date:
    """The day an instant with a time zone belongs to."""
    return at.astimezone(ZONE).date()


def get_start(day: date) -> datetime:
    """The first instant of a day."""
    return datetime(day.year, day.month, day.day, tzinfo=ZONE)
