"""Asks moto what it makes of each row of a table of event patterns.

Exits non-zero where it differs from the row, unless the row says how; and
where the row says so but it does not differ.
"""

import json
import sys

from moto.events.models import EventPattern

wrong = []
with open(sys.argv[1], encoding="utf-8") as table:
    rows = json.load(table)
for row in rows:
    try:
        says = EventPattern.load(json.dumps(row["pattern"])).matches_event(row["event"])
    except Exception as refusal:  # moto's own, or one of Python's where it did not expect the pattern
        says = "refused: %s" % refusal
    if "error" in row:
        agrees = isinstance(says, str)
    else:
        agrees = says is row["match"]
    if agrees == ("moto" in row):
        wrong.append("%s: moto says %s" % (row["name"], says))
print("\n".join(wrong))
sys.exit(bool(wrong))
