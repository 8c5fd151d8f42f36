"""Asks moto what the lab's SNS is asked: which messages a filter policy takes.

Run as `python3 filters.py FILE` with the lab's own table. Where a row says why
moto is wrong, moto must still be wrong, so that no reason outlives its cause.
"""

import json
import sys

from moto.sns.utils import FilterPolicyMatcher


def opinion(row):
    scope = "MessageBody" if "body" in row else "MessageAttributes"
    try:
        return FilterPolicyMatcher(row["policy"], scope).matches(row.get("attributes"), json.dumps(row.get("body")))
    except (AttributeError, KeyError, TypeError, ValueError) as problem:
        return problem


def main():
    with open(sys.argv[1], encoding="utf-8") as table:
        rows = json.load(table)
    failures = 0
    for row in rows:
        said = opinion(row)
        if (said == row["want"]) == ("moto" in row):
            failures += 1
            print("FAIL %s: moto says %r, the table %r, for the reason %r" % (row["name"], said, row["want"], row.get("moto")))
    agreed = sum("moto" not in row for row in rows)
    print("%d rows, moto agrees on %d and is known to be wrong on %d, %d failures" % (len(rows), agreed, len(rows) - agreed, failures))
    sys.exit(failures > 0)


if __name__ == "__main__":
    main()
