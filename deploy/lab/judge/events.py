"""Calls everything in the lab's EventBridge with clients that nobody here wrote.

Run as `python3 events.py` with the variables that the lab prints. It needs
targets of Lambda and SQS to be known, and leaves no rule behind. Every raw
answer is held against botocore's model by model.py; what is checked here beside
that is only that the answers make sense to a client.
"""

import json
import os

from model import Judge

judge = Judge("events")
call, refused, check, cli = judge.call, judge.refused, judge.check, judge.cli
function = os.environ["KEYTRAIL_JUDGE_FUNCTION"]
queue = "arn:aws:sqs:us-east-1:111122223333:judge"
pattern = json.dumps({"source": ["aws.secretsmanager"], "detail-type": [{"prefix": "AWS "}]})

arn = call("put_rule", Name="judge-a", EventPattern=pattern, Description="watch")["RuleArn"]
check("the ARN of a rule", arn == "arn:aws:events:us-east-1:111122223333:rule/judge-a")
call("put_rule", Name="judge-b", ScheduleExpression="rate(15 minutes)", State="DISABLED")
call("put_rule", Name="judge-c", EventPattern=pattern, State="ENABLED_WITH_ALL_CLOUDTRAIL_MANAGEMENT_EVENTS")
rule = call("describe_rule", Name="judge-b")
check("a schedule", (rule["ScheduleExpression"], rule["State"]) == ("rate(15 minutes)", "DISABLED"))
call("enable_rule", Name="judge-b")
call("disable_rule", Name="judge-b")
call("describe_event_bus")

done = call("put_targets", Rule="judge-a", Targets=[
    {"Id": "function", "Arn": function, "RetryPolicy": {"MaximumRetryAttempts": 8, "MaximumEventAgeInSeconds": 3600},
     "DeadLetterConfig": {"Arn": queue}},
    {"Id": "queue", "Arn": queue, "InputPath": "$.detail"}])
check("no target failed", done["FailedEntryCount"] == 0)
targets = judge.pages("list_targets_by_rule", "Targets", Rule="judge-a", Limit=1)
check("two targets", [t["Id"] for t in targets] == ["function", "queue"])
names = judge.pages("list_rules", "Rules", NamePrefix="judge-", Limit=2)
check("three rules", [r["Name"] for r in names] == ["judge-a", "judge-b", "judge-c"])
check("the rule of a queue", call("list_rule_names_by_target", TargetArn=queue)["RuleNames"] == ["judge-a"])

event = {"version": "0", "id": "1", "detail-type": "AWS Service Event via CloudTrail", "source": "aws.secretsmanager",
         "account": "111122223333", "time": "2026-11-02T00:00:00Z", "region": "us-east-1", "resources": [], "detail": {}}
check("a match", call("test_event_pattern", EventPattern=pattern, Event=json.dumps(event))["Result"] is True)
check("no match", call("test_event_pattern", EventPattern='{"source":["x"]}', Event=json.dumps(event))["Result"] is False)
put = call("put_events", Entries=[{"Source": "judge", "DetailType": "t", "Detail": "{}"}, {"Source": "judge", "DetailType": "t", "Detail": "{"}])
check("one of two entries", put["FailedEntryCount"] == 1 and put["Entries"][1]["ErrorCode"] == "MalformedDetail")

refused("put_rule", "InvalidEventPatternException", Name="judge-d", EventPattern='{"source":"x"}')
refused("put_rule", "ValidationException", "Parameter ScheduleExpression is not valid.", Name="judge-d", ScheduleExpression="cron(0 1 * * * *)")
refused("put_rule", "ValidationException", Name="judge-d")
refused("put_targets", "ResourceNotFoundException", Rule="judge-d", Targets=[{"Id": "function", "Arn": function}])
refused("put_targets", "LimitExceededException", Rule="judge-a", Targets=[{"Id": "t%d" % i, "Arn": function} for i in range(4)])
refused("describe_rule", "ResourceNotFoundException", "Rule judge-d does not exist on EventBus default.", Name="judge-d")
refused("delete_rule", "ValidationException", Name="judge-a")
refused("list_rules", "ResourceNotFoundException", EventBusName="none")
refused("list_rules", "ValidationException", NextToken="none")
refused("put_events", "ValidationException", Entries=[])

listed = cli("events", "list-rules", "--name-prefix", "judge-a")
check("awscli lists", [r["Arn"] for r in listed["Rules"]] == [arn])
cli("events", "put-rule", "--name", "judge-e", "--schedule-expression", "cron(0 8 ? * MON-FRI *)")

call("remove_targets", Rule="judge-a", Ids=["function", "queue"])
for name in ("judge-a", "judge-b", "judge-c", "judge-d", "judge-e"):
    call("delete_rule", Name=name)
check("nothing is left", call("list_rules", NamePrefix="judge-")["Rules"] == [])
judge.close()
