"""Calls everything in the lab's Secrets Manager with clients that nobody here wrote.

Run as `python3 secretsmanager.py` with the variables that the lab prints.
Rotation is judged with the function that KEYTRAIL_JUDGE_FUNCTION names, by its
ARN; without the variable only its refusals are. Every raw answer is held
against botocore's model by model.py. The secrets that it makes are deleted by
force at the end.
"""

import os
import uuid

from model import Judge

NAME = "keytrail-judge/%d" % os.getpid()
POLICY = '{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Principal":"*","Action":"secretsmanager:DeleteSecret","Resource":"*"}]}'
MARKED = "You can't perform this operation on the secret because it was marked for deletion."


def token():
    return str(uuid.uuid4())


def values(judge):
    first, second, third = token(), token(), token()
    made = judge.call("create_secret", Name=NAME, ClientRequestToken=first, SecretString="one", Description="Judge",
                      Tags=[{"Key": "Use", "Value": "judge"}])
    arn = made["ARN"]
    judge.refused("create_secret", "ResourceExistsException", "The operation failed because the secret %s already exists." % NAME,
                  Name=NAME, SecretString="two")
    judge.refused("create_secret", "ValidationException", Name="not a name")
    judge.call("describe_secret", SecretId=NAME)
    judge.call("put_secret_value", SecretId=arn, ClientRequestToken=second, SecretBinary=b"\x00\xff", VersionStages=["AWSPENDING", "blue"])
    judge.call("put_secret_value", SecretId=arn, ClientRequestToken=second, SecretBinary=b"\x00\xff", VersionStages=["REPLAY"])
    judge.refused("put_secret_value", "ResourceExistsException", SecretId=arn, ClientRequestToken=second, SecretString="other")
    judge.refused("put_secret_value", "InvalidRequestException", "You must provide either SecretString or SecretBinary.", SecretId=arn)
    judge.refused("put_secret_value", "InvalidParameterException", SecretId=arn, ClientRequestToken="short", SecretString="x")
    judge.refused("put_secret_value", "ValidationException", SecretId=arn, SecretString="x" * 65537)
    judge.refused("put_secret_value", "ValidationException", SecretId=arn, SecretString="x", RotationToken="short")
    judge.call("update_secret", SecretId=arn[:-7], Description="The judge's")
    judge.call("update_secret", SecretId=arn, ClientRequestToken=third, SecretString="three")
    judge.check("AWSCURRENT is the last value", judge.call("get_secret_value", SecretId=NAME)["SecretString"] == "three")
    binary = judge.call("get_secret_value", SecretId=NAME, VersionId=second, VersionStage="blue")
    judge.check("bytes are what they were", binary["SecretBinary"] == b"\x00\xff")
    judge.refused("get_secret_value", "InvalidRequestException", "You provided a VersionStage that is not associated to the provided VersionId.",
                  SecretId=NAME, VersionId=first, VersionStage="AWSCURRENT")
    judge.refused("get_secret_value", "ResourceNotFoundException",
                  "Secrets Manager can't find the specified secret value for staging label: red", SecretId=NAME, VersionStage="red")
    judge.refused("get_secret_value", "ResourceNotFoundException", "Secrets Manager can't find the specified secret.", SecretId=NAME + "x")
    return arn, first, second, third


def labels(judge, arn, first, second, third):
    judge.refused("update_secret_version_stage", "InvalidParameterException",
                  "The parameter RemoveFromVersionId can't be empty. Staging label AWSCURRENT is currently attached to version %s, "
                  "so you must explicitly reference that version in RemoveFromVersionId." % third,
                  SecretId=arn, VersionStage="AWSCURRENT", MoveToVersionId=second)
    judge.refused("update_secret_version_stage", "InvalidParameterException",
                  SecretId=arn, VersionStage="AWSCURRENT", MoveToVersionId=second, RemoveFromVersionId=first)
    judge.call("update_secret_version_stage", SecretId=arn, VersionStage="AWSCURRENT", MoveToVersionId=second, RemoveFromVersionId=third)
    stages = judge.call("describe_secret", SecretId=arn)["VersionIdsToStages"]
    judge.check("AWSPENDING stays on the promoted version, AWSPREVIOUS follows AWSCURRENT",
                stages == {second: ["AWSCURRENT", "AWSPENDING", "REPLAY", "blue"], third: ["AWSPREVIOUS"]})
    judge.call("update_secret_version_stage", SecretId=arn, VersionStage="blue", RemoveFromVersionId=second)
    shown = judge.pages("list_secret_version_ids", "Versions", SecretId=arn, MaxResults=1)
    judge.check("versions without labels are not listed", [v["VersionId"] for v in shown] == [second, third])
    shown = judge.pages("list_secret_version_ids", "Versions", SecretId=arn, IncludeDeprecated=True, MaxResults=2)
    judge.check("unless they are asked for", [v["VersionId"] for v in shown] == [first, second, third])
    judge.refused("list_secret_version_ids", "InvalidNextTokenException", SecretId=arn, NextToken="nonsense")


def lists(judge, arn):
    other = judge.call("create_secret", Name=NAME + "/empty")["ARN"]
    judge.call("describe_secret", SecretId=other)
    names = {"Key": "name", "Values": [NAME]}
    found = judge.pages("list_secrets", "SecretList", MaxResults=1, Filters=[names])
    judge.check("both are listed, by creation", [s["ARN"] for s in found] == [arn, other])
    found = judge.pages("list_secrets", "SecretList", Filters=[names, {"Key": "tag-value", "Values": ["judge"]}], SortBy="name", SortOrder="desc")
    judge.check("one has the tag", [s["ARN"] for s in found] == [arn])
    judge.refused("list_secrets", "ValidationException", Filters=[{"Key": "colour", "Values": ["red"]}])
    judge.refused("list_secrets", "ValidationException", MaxResults=101)
    judge.refused("list_secrets", "InvalidNextTokenException", NextToken="nonsense")
    batch = judge.call("batch_get_secret_value", SecretIdList=[arn, other, NAME + "x"])
    judge.check("one of three has a value", (len(batch["SecretValues"]), len(batch["Errors"])) == (1, 2))
    judge.call("batch_get_secret_value", Filters=[names], MaxResults=1)
    judge.refused("batch_get_secret_value", "InvalidParameterException")
    return other


def tags_and_policy(judge, arn):
    judge.call("tag_resource", SecretId=arn, Tags=[{"Key": "Use", "Value": "other"}, {"Key": "Team", "Value": ""}])
    judge.call("untag_resource", SecretId=arn, TagKeys=["Use", "Team"])
    judge.check("tags are empty, not absent", judge.call("describe_secret", SecretId=arn)["Tags"] == [])
    judge.call("get_resource_policy", SecretId=arn)
    judge.call("put_resource_policy", SecretId=arn, ResourcePolicy=POLICY, BlockPublicPolicy=True)
    judge.check("the policy is what it was", judge.call("get_resource_policy", SecretId=arn)["ResourcePolicy"] == POLICY)
    judge.refused("put_resource_policy", "MalformedPolicyDocumentException", SecretId=arn, ResourcePolicy="{")
    judge.refused("put_resource_policy", "PublicPolicyException", SecretId=arn, BlockPublicPolicy=True,
                  ResourcePolicy=POLICY.replace("Deny", "Allow"))
    judge.call("delete_resource_policy", SecretId=arn)


def rotation(judge, arn):
    judge.refused("rotate_secret", "InvalidRequestException", "No Lambda rotation function ARN is associated with this secret.", SecretId=arn)
    judge.refused("rotate_secret", "AccessDeniedException",
                  "Secrets Manager cannot invoke the specified Lambda function. Ensure that the function policy grants access to the principal secretsmanager.amazonaws.com.",
                  SecretId=arn, RotationLambdaARN="arn:aws:lambda:us-east-1:111122223333:function:keytrail-judge-none")
    judge.call("cancel_rotate_secret", SecretId=arn)
    function = os.environ.get("KEYTRAIL_JUDGE_FUNCTION")
    if not function:
        print("-- no KEYTRAIL_JUDGE_FUNCTION: no rotation is judged")
        return
    judge.refused("rotate_secret", "InvalidParameterException", SecretId=arn, RotationLambdaARN=function, RotationRules={"AutomaticallyAfterDays": 1001})
    judge.refused("rotate_secret", "InvalidParameterException", SecretId=arn, RotationLambdaARN=function, RotationRules={"ScheduleExpression": "rate(3 hours)"})
    judge.call("rotate_secret", SecretId=arn, RotationLambdaARN=function, RotateImmediately=False,
               RotationRules={"ScheduleExpression": "cron(0 16 1,15 * ? *)", "Duration": "2h"})
    judge.call("describe_secret", SecretId=arn)
    judge.call("rotate_secret", SecretId=arn)
    judge.call("list_secrets", Filters=[{"Key": "name", "Values": [NAME]}])
    judge.refused("rotate_secret", "InvalidRequestException", "A previous rotation isn't complete. That rotation will be reattempted.", SecretId=arn)
    judge.call("cancel_rotate_secret", SecretId=arn)
    shown = judge.call("describe_secret", SecretId=arn)
    judge.check("rotation is off and still configured", not shown["RotationEnabled"] and shown["RotationLambdaARN"] == function)


def deletion(judge, arn, other):
    judge.refused("delete_secret", "InvalidParameterException", "The RecoveryWindowInDays value must be between 7 and 30 days (inclusive).",
                  SecretId=arn, RecoveryWindowInDays=6)
    judge.call("delete_secret", SecretId=arn, RecoveryWindowInDays=7)
    judge.call("describe_secret", SecretId=arn)
    judge.refused("get_secret_value", "InvalidRequestException", MARKED, SecretId=arn)
    judge.refused("create_secret", "InvalidRequestException",
                  "You can't create this secret because a secret with this name is already scheduled for deletion.", Name=NAME)
    planned = judge.call("list_secrets", IncludePlannedDeletion=True, Filters=[{"Key": "name", "Values": [NAME]}])["SecretList"]
    judge.check("planned deletions are listed on request", len(planned) == 2)
    judge.call("restore_secret", SecretId=arn)
    for secret in (arn, other):
        judge.call("delete_secret", SecretId=secret, ForceDeleteWithoutRecovery=True)
    judge.call("delete_secret", SecretId=NAME + "/none", ForceDeleteWithoutRecovery=True)
    judge.refused("get_random_password", "UnknownOperationException")


def terminal(judge):
    """The same in a few words of awscli."""
    name = NAME + "/cli"
    made = judge.cli("secretsmanager", "create-secret", "--name", name, "--secret-string", '{"PublicKey":"","PrivateKey":""}')
    judge.cli("secretsmanager", "put-secret-value", "--secret-id", name, "--secret-string", "two")
    got = judge.cli("secretsmanager", "get-secret-value", "--secret-id", name, "--version-stage", "AWSPREVIOUS")
    judge.check("the previous value", got["SecretString"] == '{"PublicKey":"","PrivateKey":""}' and got["VersionId"] == made["VersionId"])
    judge.cli("secretsmanager", "tag-resource", "--secret-id", name, "--tags", "Key=Use,Value=judge")
    listed = judge.cli("secretsmanager", "list-secrets", "--filters", "Key=tag-key,Values=Use", "Key=name,Values=" + name)
    judge.check("found by its tag", [s["Name"] for s in listed["SecretList"]] == [name])
    judge.cli("secretsmanager", "describe-secret", "--secret-id", name)
    judge.cli("secretsmanager", "list-secret-version-ids", "--secret-id", name)
    judge.cli("secretsmanager", "delete-secret", "--secret-id", name, "--force-delete-without-recovery")


def main():
    judge = Judge("secretsmanager")
    arn, first, second, third = values(judge)
    labels(judge, arn, first, second, third)
    other = lists(judge, arn)
    tags_and_policy(judge, arn)
    rotation(judge, arn)
    deletion(judge, arn, other)
    terminal(judge)
    judge.close()


if __name__ == "__main__":
    main()
