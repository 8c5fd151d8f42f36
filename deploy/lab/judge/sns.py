"""Calls everything in the lab's SNS with clients that nobody here wrote.

Run as `python3 sns.py` with the variables that the lab prints. The messages
end in a queue of the lab's SQS, which must be able to get them. It leaves no
topic behind.
"""

import json
import os

import boto3

from model import Judge

NAME = "KeytrailJudge-%d" % os.getpid()


def topics(judge):
    topic = judge.call("create_topic", Name=NAME, Attributes={"DisplayName": "Judge"}, Tags=[{"Key": "Use", "Value": "judge"}])["TopicArn"]
    judge.check("the same topic again", judge.call("create_topic", Name=NAME)["TopicArn"] == topic)
    judge.refused("create_topic", "InvalidParameter", "Invalid parameter: Topic Name", Name="a b")
    judge.refused("create_topic", "InvalidParameter", Name=NAME, Attributes={"DisplayName": "other"})
    judge.call("set_topic_attributes", TopicArn=topic, AttributeName="DisplayName", AttributeValue="Judge & <co>")
    shown = judge.call("get_topic_attributes", TopicArn=topic)["Attributes"]
    judge.check("attributes are what was set", shown["DisplayName"] == "Judge & <co>" and json.loads(shown["Policy"]) and
                json.loads(shown["EffectiveDeliveryPolicy"])["http"]["defaultHealthyRetryPolicy"]["numRetries"] == 3)
    judge.check("the topic is listed", topic in [t["TopicArn"] for t in judge.pages("list_topics", "Topics")])
    judge.call("tag_resource", ResourceArn=topic, Tags=[{"Key": "Team", "Value": "lab"}])
    judge.call("untag_resource", ResourceArn=topic, TagKeys=["Use"])
    judge.check("tags come and go", judge.call("list_tags_for_resource", ResourceArn=topic)["Tags"] == [{"Key": "Team", "Value": "lab"}])
    judge.refused("get_topic_attributes", "NotFound", "Topic does not exist", TopicArn=topic + "x")
    judge.refused("get_topic_attributes", "InvalidParameter", "Invalid parameter: TopicArn Reason: An ARN must have at least 6 elements, not 1", TopicArn="x")
    return topic


def queue_of(topic):
    """Makes a queue that the topic may send to."""
    sqs = boto3.client("sqs", endpoint_url=os.environ["AWS_ENDPOINT_URL"])
    url = sqs.create_queue(QueueName=NAME)["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": json.dumps({"Statement": [{
        "Effect": "Allow", "Principal": {"Service": "sns.amazonaws.com"}, "Action": "sqs:SendMessage", "Resource": arn,
        "Condition": {"ArnLike": {"aws:SourceArn": topic}}}]})})

    def receive():
        got = sqs.receive_message(QueueUrl=url, WaitTimeSeconds=5, MessageAttributeNames=["All"])["Messages"][0]
        sqs.delete_message(QueueUrl=url, ReceiptHandle=got["ReceiptHandle"])
        return got
    return arn, receive


def subscriptions(judge, topic, arn):
    pending = judge.call("subscribe", TopicArn=topic, Protocol="email", Endpoint="ops@example.com")["SubscriptionArn"]
    judge.check("a mail address has to confirm", pending == "pending confirmation")
    sub = judge.call("subscribe", TopicArn=topic, Protocol="sqs", Endpoint=arn, ReturnSubscriptionArn=True,
                     Attributes={"FilterPolicy": json.dumps({"severity": ["high"]})})["SubscriptionArn"]
    shown = judge.call("get_subscription_attributes", SubscriptionArn=sub)["Attributes"]
    judge.check("a queue has not", shown["PendingConfirmation"] == "false" and shown["FilterPolicyScope"] == "MessageAttributes")
    listed = judge.pages("list_subscriptions_by_topic", "Subscriptions", TopicArn=topic)
    judge.check("both are listed", sorted(s["SubscriptionArn"] for s in listed) == ["PendingConfirmation", sub])
    judge.check("and among all", len(judge.pages("list_subscriptions", "Subscriptions")) >= 2)
    judge.refused("subscribe", "InvalidParameter", "Invalid parameter: Amazon SNS does not support this protocol string: pigeon",
                  TopicArn=topic, Protocol="pigeon", Endpoint="x")
    judge.refused("subscribe", "InvalidParameter", TopicArn=topic, Protocol="https", Endpoint="https://example.com/")
    judge.refused("confirm_subscription", "InvalidParameter", TopicArn=topic, Token="x")
    judge.refused("set_subscription_attributes", "InvalidParameter", SubscriptionArn=sub, AttributeName="Colour", AttributeValue="red")
    judge.refused("get_subscription_attributes", "NotFound", "Subscription does not exist", SubscriptionArn=topic + ":x")
    return sub


def messages(judge, topic, sub, receive):
    high = {"severity": {"DataType": "String", "StringValue": "high"}}
    judge.call("publish", TopicArn=topic, Message="dropped")
    sent = judge.call("publish", TopicArn=topic, Message=json.dumps({"default": "a \u2603 & <b>", "email": "x"}), MessageStructure="json",
                      Subject="subject", MessageAttributes=high)["MessageId"]
    got = json.loads(receive()["Body"])
    judge.check("the queue gets the envelope", (got["Type"], got["MessageId"], got["Message"], got["Subject"], got["MessageAttributes"]) ==
                ("Notification", sent, "a \u2603 & <b>", "subject", {"severity": {"Type": "String", "Value": "high"}}))
    judge.call("set_subscription_attributes", SubscriptionArn=sub, AttributeName="RawMessageDelivery", AttributeValue="true")
    judge.call("set_subscription_attributes", SubscriptionArn=sub, AttributeName="FilterPolicyScope", AttributeValue="MessageBody")
    judge.call("set_subscription_attributes", SubscriptionArn=sub, AttributeName="FilterPolicy", AttributeValue=json.dumps({"a": {"b": [{"numeric": [">", 1]}]}}))
    batch = judge.call("publish_batch", TopicArn=topic, PublishBatchRequestEntries=[
        {"Id": "a", "Message": json.dumps({"a": {"b": 1}})}, {"Id": "b", "Message": ""},
        {"Id": "c", "Message": json.dumps({"a": {"b": 2}}), "MessageAttributes": high}])
    judge.check("one of a batch fails", [f["Id"] for f in batch["Failed"]] == ["b"] and len(batch["Successful"]) == 2)
    got = receive()
    judge.check("the queue gets the raw message", got["Body"] == '{"a": {"b": 2}}' and got["MessageAttributes"] == high)
    judge.refused("publish", "InvalidParameter", "Invalid parameter: Empty message", TopicArn=topic, Message="")
    judge.refused("publish", "InvalidParameter", "Invalid parameter: Subject", TopicArn=topic, Message="x", Subject="x" * 100)
    judge.refused("publish", "InvalidParameter", "Invalid parameter: Message too long", TopicArn=topic, Message="x" * 262145)
    judge.refused("publish", "InvalidParameter", TopicArn=topic, Message="{}", MessageStructure="json")
    judge.refused("publish", "ParameterValueInvalid", TopicArn=topic, Message="x", MessageAttributes={"a": {"DataType": "String", "StringValue": ""}})
    judge.refused("publish", "NotFound", TopicArn=topic + "x", Message="x")
    judge.refused("publish_batch", "EmptyBatchRequest", TopicArn=topic, PublishBatchRequestEntries=[])


def terminal(judge, topic):
    """The same in a few words of awscli."""
    judge.check("awscli publishes", "MessageId" in judge.cli("sns", "publish", "--topic-arn", topic, "--message", "hello", "--message-attributes",
                                                             '{"severity":{"DataType":"String","StringValue":"low"}}'))
    judge.check("awscli lists topics", {"TopicArn": topic} in judge.cli("sns", "list-topics")["Topics"])


def main():
    judge = Judge("sns")
    topic = topics(judge)
    try:
        arn, receive = queue_of(topic)
        sub = subscriptions(judge, topic, arn)
        messages(judge, topic, sub, receive)
        terminal(judge, topic)
        judge.call("unsubscribe", SubscriptionArn=sub)
    finally:
        judge.call("delete_topic", TopicArn=topic)
    judge.call("delete_topic", TopicArn=topic)
    judge.close()


if __name__ == "__main__":
    main()
