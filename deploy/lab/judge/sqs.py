"""Calls everything in the lab's SQS with clients that nobody here wrote.

Run as `python3 sqs.py` with the variables that the lab prints. botocore itself
compares the checksums of messages. It leaves no queue behind.
"""

import json
import os

from model import Judge

NAME = "KeytrailJudge-%d" % os.getpid()


def queues(judge):
    dead = judge.call("create_queue", QueueName=NAME + "-dead", tags={"Use": "judge"})["QueueUrl"]
    arn = judge.call("get_queue_attributes", QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    policy = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": 1})
    work = judge.call("create_queue", QueueName=NAME, Attributes={"RedrivePolicy": policy, "VisibilityTimeout": "0"})["QueueUrl"]
    judge.check("a URL is found by name", judge.call("get_queue_url", QueueName=NAME)["QueueUrl"] == work)
    judge.refused("create_queue", "QueueAlreadyExists", QueueName=NAME, Attributes={"VisibilityTimeout": "9"})
    judge.refused("create_queue", "InvalidParameterValue", QueueName="a b")
    judge.refused("create_queue", "InvalidAttributeName", QueueName=NAME + "x", Attributes={"Colour": "red"})
    judge.refused("get_queue_url", "AWS.SimpleQueueService.NonExistentQueue", "The specified queue does not exist.", QueueName="none")
    judge.call("set_queue_attributes", QueueUrl=dead, Attributes={"MessageRetentionPeriod": "600"})
    judge.refused("set_queue_attributes", "InvalidAttributeValue", QueueUrl=dead, Attributes={"MessageRetentionPeriod": "1"})
    shown = judge.call("get_queue_attributes", QueueUrl=dead, AttributeNames=["All"])["Attributes"]
    judge.check("attributes are what was set", shown["MessageRetentionPeriod"] == "600")
    listed = judge.pages("list_queues", "QueueUrls", QueueNamePrefix=NAME, MaxResults=1)
    judge.check("both queues are listed", sorted(listed) == sorted([work, dead]))
    judge.check("sources of dead letters are listed", judge.call("list_dead_letter_source_queues", QueueUrl=dead)["queueUrls"] == [work])
    judge.call("tag_queue", QueueUrl=dead, Tags={"Team": "lab"})
    judge.call("untag_queue", QueueUrl=dead, TagKeys=["Use"])
    judge.check("tags come and go", judge.call("list_queue_tags", QueueUrl=dead)["Tags"] == {"Team": "lab"})
    return work, dead


def messages(judge, work, dead):
    attributes = {
        "severity": {"DataType": "String", "StringValue": "h\u00f6ch"}, "n": {"DataType": "Number.int", "StringValue": "7"},
        "raw": {"DataType": "Binary", "BinaryValue": b"\x00\xff"},
    }
    sent = judge.call("send_message", QueueUrl=work, MessageBody="gr\u00fcn \u2603", MessageAttributes=attributes)
    got = judge.call("receive_message", QueueUrl=work, MaxNumberOfMessages=10, MessageAttributeNames=["All"],
                     MessageSystemAttributeNames=["All"], VisibilityTimeout=30)["Messages"]
    judge.check("the message comes back whole", [(m["MessageId"], m["Body"], set(m["MessageAttributes"])) for m in got] ==
                [(sent["MessageId"], "gr\u00fcn \u2603", set(attributes))])
    judge.check("some attributes alone have their own checksum", "MD5OfMessageAttributes" in got[0])
    handle = got[0]["ReceiptHandle"]
    judge.call("change_message_visibility", QueueUrl=work, ReceiptHandle=handle, VisibilityTimeout=0)
    judge.refused("change_message_visibility", "InvalidParameterValue", QueueUrl=work, ReceiptHandle=handle, VisibilityTimeout=0)
    judge.check("a second receive finds nothing", "Messages" not in judge.call("receive_message", QueueUrl=work))
    late = judge.call("receive_message", QueueUrl=dead, MessageAttributeNames=["sev.*", "n"], AttributeNames=["All"], WaitTimeSeconds=1)["Messages"]
    judge.check("it is a dead letter", late[0]["Attributes"]["DeadLetterQueueSourceArn"].endswith(NAME))
    judge.call("delete_message", QueueUrl=dead, ReceiptHandle=late[0]["ReceiptHandle"])
    judge.refused("delete_message", "ReceiptHandleIsInvalid", QueueUrl=dead, ReceiptHandle="nonsense")
    batch = judge.call("send_message_batch", QueueUrl=dead, Entries=[
        {"Id": "a", "MessageBody": "1", "MessageAttributes": attributes}, {"Id": "b", "MessageBody": "\x01"}, {"Id": "c", "MessageBody": "3"}])
    judge.check("one of a batch fails", [f["Id"] for f in batch["Failed"]] == ["b"] and len(batch["Successful"]) == 2)
    got = judge.call("receive_message", QueueUrl=dead, MaxNumberOfMessages=10)["Messages"]
    entries = [{"Id": m["Body"], "ReceiptHandle": m["ReceiptHandle"]} for m in got]
    judge.call("change_message_visibility_batch", QueueUrl=dead, Entries=[dict(e, VisibilityTimeout=60) for e in entries])
    judge.call("delete_message_batch", QueueUrl=dead, Entries=entries)
    judge.refused("delete_message_batch", "AWS.SimpleQueueService.EmptyBatchRequest", QueueUrl=dead, Entries=[])
    judge.refused("send_message", "MissingParameter", "The request must contain the parameter MessageBody.", QueueUrl=work)
    judge.refused("receive_message", "InvalidParameterValue", QueueUrl=work, MaxNumberOfMessages=11)
    judge.refused("receive_message", "InvalidParameterValue", QueueUrl=work, WaitTimeSeconds=21)
    judge.call("purge_queue", QueueUrl=work)
    judge.refused("purge_queue", "AWS.SimpleQueueService.PurgeQueueInProgress", QueueUrl=work)


def terminal(judge, dead):
    """The same in a few words of awscli."""
    judge.cli("sqs", "send-message", "--queue-url", dead, "--message-body", "hello", "--message-attributes",
              "severity={DataType=String,StringValue=high}")
    got = judge.cli("sqs", "receive-message", "--queue-url", dead, "--message-attribute-names", "All", "--wait-time-seconds", "1")["Messages"]
    judge.check("awscli receives", got[0]["Body"] == "hello" and got[0]["MessageAttributes"]["severity"]["StringValue"] == "high")
    judge.cli("sqs", "delete-message", "--queue-url", dead, "--receipt-handle", got[0]["ReceiptHandle"])
    judge.check("awscli lists queues", dead in judge.cli("sqs", "list-queues", "--queue-name-prefix", NAME)["QueueUrls"])


def main():
    judge = Judge("sqs")
    work, dead = queues(judge)
    try:
        messages(judge, work, dead)
        terminal(judge, dead)
    finally:
        judge.call("delete_queue", QueueUrl=work)
        judge.call("delete_queue", QueueUrl=dead)
    judge.refused("send_message", "AWS.SimpleQueueService.NonExistentQueue", QueueUrl=work, MessageBody="x")
    judge.refused("create_queue", "AWS.SimpleQueueService.QueueDeletedRecently", QueueName=NAME)
    judge.close()


if __name__ == "__main__":
    main()
