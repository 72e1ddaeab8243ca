"""A day is the date at UTC+8, wherever the node stands (design decision 16)."""

from datetime import UTC, date, datetime, timedelta, timezone

ZONE = timezone(timedelta(hours=8))


def get_day(at: datetime) -> date:
    """The day an instant with a time zone belongs to."""
    return at.astimezone(ZONE).date()


def get_start(day: date) -> datetime:
    """The first instant of a day."""
    return datetime(day.year, day.month, day.day, tzinfo=ZONE)


def parse_instant(text: str) -> datetime:
    """ISO 8601; without an offset it is at UTC+8. Raises ValueError."""
    at = datetime.fromisoformat(text)
    try:
        return (at if at.tzinfo else at.replace(tzinfo=ZONE)).astimezone(UTC)
    except OverflowError:  # the first or the last hours of the calendar
        raise ValueError(text) from None


def list_months(last: str, count: int) -> list[str]:
    """So many months such as 2026-11, the named one last."""
    at = int(last[:4]) * 12 + int(last[5:7]) - 1
    return [f"{number // 12:04}-{number % 12 + 1:02}" for number in range(at - count + 1, at + 1)]


def get_working_day(month: str, number: int) -> date:
    """The n-th working day after a month: Mondays to Fridays, since holidays are only known from year to year."""
    day = date(int(month[:4]) + int(month[5:7]) // 12, int(month[5:7]) % 12 + 1, 1)
    while day.weekday() > 4 or (number := number - 1) > 0:
        day += timedelta(days=1)
    return day
