#!/usr/bin/env python3
"""Makes expected.txt: when schedules tick around every change of a clock in 2025, in every zone that has one.

It does so as a cron daemon would, in another way than Shipway: it wakes up each minute of real time and looks at the clock
on the wall. A schedule of all hours ticks whenever the wall's minute is one of its minutes. Any other has a mark, the latest
minute that the wall has shown; it ticks when one of its minutes is among those that the wall has newly reached.

    ./expected.py > expected.txt
"""

import zoneinfo
from datetime import datetime, timedelta, timezone

# Moldova changes its clocks with the rest of Europe; the database knows so since 2025c, the copy that made the table not.
CORRECTED = ("Europe/Chisinau", "Europe/Tiraspol")

UTC = timezone.utc
MINUTE = timedelta(minutes=1)


def numbers(field, low, high):
    found = set()
    for part in field.split(","):
        span, _, step = part.partition("/")
        first, last = (low, high) if span == "*" else (int(x) for x in (span.split("-") * 2)[:2])
        found |= set(range(first, last + 1, int(step or 1)))
    return found


class Cron:
    def __init__(self, text):
        minute, hour, day, month, weekday = text.split()
        self.minute, self.hour = numbers(minute, 0, 59), numbers(hour, 0, 23)
        self.day, self.month = numbers(day, 1, 31), numbers(month, 1, 12)
        self.weekday = {x % 7 for x in numbers(weekday, 0, 7)}
        self.either = not day.startswith("*") and not weekday.startswith("*")
        self.all_hours = len(self.hour) == 24

    def has(self, wall):
        day, weekday = wall.day in self.day, (wall.isoweekday() % 7) in self.weekday
        days = (day or weekday) if self.either else (day and weekday)
        return wall.minute in self.minute and wall.hour in self.hour and wall.month in self.month and days


def ticks(zone, text, start, count):
    cron, at, found = Cron(text), start, []
    mark = at.astimezone(zone).replace(tzinfo=None, second=0)
    while len(found) < count:
        at += MINUTE
        wall = at.astimezone(zone).replace(tzinfo=None)
        if cron.all_hours:
            if cron.has(wall):
                found.append(at)
            continue
        reached = []
        while mark < wall:
            mark += MINUTE
            reached.append(mark)
        if any(cron.has(minute) for minute in reached):
            found.append(at)
    return found


def changes(zone, year):
    at, last = datetime(year, 1, 1, tzinfo=UTC), None
    while at.year == year:
        offset = at.astimezone(zone).utcoffset()
        if last is not None and offset != last:
            yield at, last, offset
        last, at = offset, at + timedelta(minutes=15)


def row(name, text, start, count):
    zone = zoneinfo.ZoneInfo(name)
    times = " ".join(f"{at:%Y-%m-%dT%H:%MZ}" for at in ticks(zone, text, start, count))
    print(f"{name}\t{text}\t{start:%Y-%m-%dT%H:%MZ}\t{times}")


def main():
    seen = set()
    for name in sorted(zoneinfo.available_timezones()):
        if name.startswith(("posix", "right")) or name in ("localtime", "Factory", *CORRECTED):
            continue
        zone = zoneinfo.ZoneInfo(name)
        both = list(changes(zone, 2025))
        for change, before, after in both:
            # In the middle of what the wall leaves out or shows twice.
            local = change.replace(tzinfo=None) + (before + after) / 2
            start = change - timedelta(hours=20)
            row(name, f"{local.minute} {local.hour} * * *", start, 2)
        if not both or tuple(both) in seen:
            continue
        # Zones that do the same at the same time are tried once.
        seen.add(tuple(both))
        for change, before, after in both:
            local = change.replace(tzinfo=None) + min(before, after)
            start = change - timedelta(hours=3)
            row(name, "*/10 * * * *", start + timedelta(hours=2), 14)
            row(name, "15 * * * *", start, 6)
            row(name, f"{local.minute} {local.hour} * * {local.isoweekday()}", change - timedelta(days=8), 3)
            row(name, "*/15 1,2,3,23 * * *", start, 8)
            row(name, "0 0 * * *", change - timedelta(days=1), 3)
    for name in ("UTC", "Europe/Berlin", "Pacific/Kiritimati", "America/Los_Angeles"):
        row(name, "0 12 29 2 *", datetime(2023, 6, 1, tzinfo=UTC), 2)
        row(name, "30 23 28,29 2 *", datetime(2023, 12, 1, tzinfo=UTC), 4)
        row(name, "0 0 1 3 *", datetime(2023, 12, 1, tzinfo=UTC), 3)
    row("UTC", "0 6 29 2 *", datetime(2096, 3, 1, tzinfo=UTC), 1)
    row("UTC", "0 6 13 * 5", datetime(2025, 1, 1, tzinfo=UTC), 8)
    row("UTC", "0 6 */2 * 1-5", datetime(2025, 1, 1, tzinfo=UTC), 8)
    row("UTC", "0 6 31 * *", datetime(2025, 1, 1, tzinfo=UTC), 8)


main()
