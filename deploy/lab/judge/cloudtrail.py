"""Calls everything in the lab's CloudTrail with clients that nobody here wrote.

Run as `python3 cloudtrail.py` with the variables that the lab prints. It leaves
no trail behind. Every raw answer is held against botocore's model by model.py;
what is checked here beside that is only that the answers make sense to a client.
"""

import datetime
import json

from model import Judge

judge = Judge("cloudtrail")
call, refused, check, cli = judge.call, judge.refused, judge.check, judge.cli

arn = call("create_trail", Name="judge", S3BucketName="judge", IsMultiRegionTrail=True)["TrailARN"]
call("start_logging", Name="judge")
check("it logs", call("get_trail_status", Name=arn)["IsLogging"] is True)
check("described", [t["TrailARN"] for t in call("describe_trails", trailNameList=["judge", "none"])["trailList"]] == [arn])
check("listed", arn in [t["TrailARN"] for t in call("list_trails")["Trails"]])
check("got", call("get_trail", Name="judge")["Trail"]["IsMultiRegionTrail"] is True)
selectors = [{"ReadWriteType": "WriteOnly", "IncludeManagementEvents": True}]
call("put_event_selectors", TrailName="judge", EventSelectors=selectors)
check("selectors", call("get_event_selectors", TrailName="judge")["EventSelectors"][0]["ReadWriteType"] == "WriteOnly")

refused("create_trail", "TrailAlreadyExistsException", Name="judge", S3BucketName="judge")
refused("create_trail", "InvalidTrailNameException", Name="j", S3BucketName="judge")
refused("create_trail", "InvalidS3BucketNameException", Name="judge-b")
refused("put_event_selectors", "InvalidEventSelectorsException", TrailName="judge", EventSelectors=[])
for method in ("get_trail_status", "start_logging", "stop_logging", "delete_trail", "get_trail"):
    refused(method, "TrailNotFoundException", Name="none")

now = datetime.datetime.now(datetime.timezone.utc)
attribute = [{"AttributeKey": "EventSource", "AttributeValue": "cloudtrail.amazonaws.com"}]
events = judge.pages("lookup_events", "Events", LookupAttributes=attribute, MaxResults=5, StartTime=now - datetime.timedelta(hours=1))
check("its own calls", {"CreateTrail", "StartLogging"} <= {e["EventName"] for e in events})
check("newest first", events[-1]["EventName"] == "CreateTrail")
record = json.loads(events[-1]["CloudTrailEvent"])
check("a record", (record["requestParameters"]["name"], record["readOnly"], record["eventType"]) == ("judge", False, "AwsApiCall"))
refused("lookup_events", "InvalidLookupAttributesException", LookupAttributes=attribute * 2)
refused("lookup_events", "InvalidMaxResultsException", MaxResults=51)
refused("lookup_events", "InvalidNextTokenException", NextToken="none")
refused("lookup_events", "InvalidTimeRangeException", StartTime=now, EndTime=now - datetime.timedelta(hours=1))

found = cli("cloudtrail", "lookup-events", "--lookup-attributes", "AttributeKey=EventName,AttributeValue=PutEventSelectors", "--max-items", "1")
check("awscli finds", [e["EventName"] for e in found["Events"]] == ["PutEventSelectors"])
check("awscli describes", arn in [t["TrailARN"] for t in cli("cloudtrail", "describe-trails")["trailList"]])
call("stop_logging", Name="judge")
call("delete_trail", Name="judge")
judge.close()
