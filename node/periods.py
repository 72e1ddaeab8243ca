"""Periods that reports are made of: months, quarters and years that are over, and the running year."""

from datetime import date, timedelta

_DAY = timedelta(days=1)


def list_periods(today: date) -> dict[str, tuple[date, date]]:
    """First and last day of last-month, last-quarter, this-year (until today) and last-year."""
    month, quarter, year = today.replace(day=1), _begin_quarter(today), today.replace(month=1, day=1)
    return {
        "last-month": ((month - _DAY).replace(day=1), month - _DAY),
        "last-quarter": (_begin_quarter(quarter - _DAY), quarter - _DAY),
        "this-year": (year, today),
        "last-year": ((year - _DAY).replace(month=1, day=1), year - _DAY),
    }


def _begin_quarter(day: date) -> date:
    return day.replace(month=(day.month - 1) // 3 * 3 + 1, day=1)
