"""Days for tests, asked for when a test runs: modules are imported minutes before, perhaps on the day before."""

from datetime import UTC, date, datetime, timedelta

from schemas.days import get_day


def get_today() -> date:
    """The running day, UTC+8."""
    return get_day(datetime.now(UTC))


def get_yesterday() -> date:
    """The last whole day, UTC+8."""
    return get_today() - timedelta(days=1)
