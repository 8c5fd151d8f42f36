"""Calls everything in the lab's SSM with clients that nobody here wrote.

Run as `python3 ssm.py` with the variables that the lab prints. It needs two
online Linux nodes, and leaves no document behind. Every raw answer is held
against botocore's model by model.py; what is checked here beside that is only
that the answers make sense to a client.
"""

import json
import os
import time

from model import Judge

NAME = "KeytrailJudge-%d" % os.getpid()
UNKNOWN = "00000000-0000-4000-8000-000000000000"


def document(line):
    return json.dumps({
        "schemaVersion": "2.2",
        "description": "says a word",
        "parameters": {
            "Word": {"type": "String", "description": "the word", "default": "hello",
                     "allowedPattern": "^[a-z]{1,20}$", "interpolationType": "ENV_VAR"},
        },
        "mainSteps": [{
            "action": "aws:runShellScript", "name": "speak",
            "precondition": {"StringEquals": ["platformType", "Linux"]},
            "inputs": {"timeoutSeconds": "60", "runCommand": ["SSM_Word=${SSM_Word-'{{ Word }}'}", line]},
        }],
    })


def finished(judge, command):
    """Waits until a command is over, as a client would."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        listed = judge.call("list_commands", CommandId=command)["Commands"]
        if listed and listed[0]["Status"] not in ("Pending", "InProgress", "Cancelling"):
            return listed[0]
        time.sleep(0.05)
    raise AssertionError("command %s does not end" % command)


def nodes(judge):
    pages = judge.pages("describe_instance_information", "InstanceInformationList", MaxResults=5)
    online = [n["InstanceId"] for n in pages if n["PingStatus"] == "Online" and n["PlatformType"] == "Linux"]
    if len(online) < 2:
        raise SystemExit("the lab has %d online Linux nodes, the judge needs 2" % len(online))
    one = judge.call("describe_instance_information", Filters=[{"Key": "InstanceIds", "Values": online[:1]}])
    judge.check("a filter by id finds that node", [n["InstanceId"] for n in one["InstanceInformationList"]] == online[:1])
    judge.refused("describe_instance_information", "InvalidInstanceId",
                  Filters=[{"Key": "InstanceIds", "Values": ["i-0ffffffffffffffff"]}])
    judge.refused("describe_instance_information", "InvalidFilterKey", Filters=[{"Key": "Colour", "Values": ["red"]}])
    judge.refused("describe_instance_information", "InvalidInstanceInformationFilterValue",
                  Filters=[{"Key": "PingStatus", "Values": ["Sleepy"]}])
    judge.refused("describe_instance_information", "InvalidNextToken", NextToken="nonsense")
    return online


def documents(judge):
    made = judge.call("create_document", Name=NAME, Content=document("echo \"one $SSM_Word\""), DocumentType="Command",
                      DocumentFormat="JSON", Tags=[{"Key": "Use", "Value": "judge"}])["DocumentDescription"]
    judge.check("the first version is 1", (made["DocumentVersion"], made["HashType"]) == ("1", "Sha256"))
    judge.refused("create_document", "DocumentAlreadyExists", Name=NAME, Content=document("true"), DocumentType="Command")
    judge.refused("create_document", "InvalidDocumentContent", Name=NAME + "x", Content="{", DocumentType="Command")
    judge.refused("create_document", "InvalidDocumentSchemaVersion", Name=NAME + "x", Content="{}", DocumentType="Command")
    judge.call("update_document", Name=NAME, Content=document("echo \"two $SSM_Word\""), DocumentVersion="$LATEST", VersionName="second")
    judge.refused("update_document", "DuplicateDocumentContent", Name=NAME, Content=document("echo \"two $SSM_Word\""), DocumentVersion="$LATEST")
    latest = judge.call("describe_document", Name=NAME, DocumentVersion="$LATEST")["Document"]
    judge.check("the second version is another", latest["LatestVersion"] == "2" and latest["Hash"] != made["Hash"])
    judge.call("update_document_default_version", Name=NAME, DocumentVersion="2")
    judge.check("the content is what it was", judge.call("get_document", Name=NAME)["Content"] == document("echo \"two $SSM_Word\""))
    judge.call("get_document", Name="AWS-RunShellScript")
    judge.call("describe_document", Name="AWS-RunPowerShellScript")
    judge.refused("get_document", "InvalidDocumentVersion", Name=NAME, DocumentVersion="9")
    judge.refused("get_document", "InvalidDocument", Name="KeytrailNone")
    found = judge.pages("list_documents", "DocumentIdentifiers", MaxResults=1, Filters=[{"Key": "Owner", "Values": ["Self"]}])
    judge.check("the document is listed", NAME in [d["Name"] for d in found])
    judge.check("both versions are listed", len(judge.pages("list_document_versions", "DocumentVersions", Name=NAME, MaxResults=1)) == 2)
    judge.call("add_tags_to_resource", ResourceType="Document", ResourceId=NAME, Tags=[{"Key": "Team", "Value": "lab"}])
    judge.call("remove_tags_from_resource", ResourceType="Document", ResourceId=NAME, TagKeys=["Use"])
    tags = judge.call("list_tags_for_resource", ResourceType="Document", ResourceId=NAME)["TagList"]
    judge.check("tags come and go", tags == [{"Key": "Team", "Value": "lab"}])
    judge.refused("list_tags_for_resource", "InvalidResourceId", ResourceType="Document", ResourceId="KeytrailNone")


def commands(judge, online):
    about = judge.call("describe_document", Name=NAME)["Document"]
    sent = judge.call("send_command", InstanceIds=online[:2], DocumentName=NAME, DocumentVersion="$DEFAULT", DocumentHash=about["Hash"],
                      DocumentHashType="Sha256", Parameters={"Word": ["judge"]}, TimeoutSeconds=60, Comment="judge", MaxConcurrency="100%",
                      MaxErrors="100%")["Command"]
    command = sent["CommandId"]
    judge.check("a new command is pending", (sent["Status"], sent["TargetCount"]) == ("Pending", 2))
    done = finished(judge, command)
    judge.check("the command succeeds", (done["Status"], done["CompletedCount"], done["ErrorCount"]) == ("Success", 2, 0))
    listed = judge.pages("list_command_invocations", "CommandInvocations", CommandId=command, Details=True, MaxResults=1)
    judge.check("output is listed", [i["CommandPlugins"][0]["Output"] for i in listed] == ["two judge\n"] * 2)
    judge.call("list_command_invocations", CommandId=command)
    full = judge.call("get_command_invocation", CommandId=command, InstanceId=online[0], PluginName="speak")
    judge.check("output is returned", (full["ResponseCode"], full["StandardOutputContent"]) == (0, "two judge\n"))
    nobody = judge.call("send_command", Targets=[{"Key": "tag:KeytrailNobody", "Values": ["x"]}], DocumentName="AWS-RunShellScript",
                        Parameters={"commands": ["true"]})["Command"]["CommandId"]
    judge.check("no node is a success", finished(judge, nobody)["StatusDetails"] == "NoInstancesInTag")
    judge.call("list_command_invocations", CommandId=nobody, Details=True)
    judge.call("cancel_command", CommandId=nobody)
    judge.pages("list_commands", "Commands", MaxResults=1, Filters=[{"key": "ExecutionStage", "value": "Complete"}])

    run = {"DocumentName": "AWS-RunShellScript", "Parameters": {"commands": ["true"]}}
    judge.refused("send_command", "InvalidInstanceId", InstanceIds=["i-0ffffffffffffffff"], **run)
    judge.refused("send_command", "DuplicateInstanceId", InstanceIds=[online[0], online[0]], **run)
    judge.refused("send_command", "InvalidDocument", InstanceIds=online[:1], DocumentName="KeytrailNone")
    judge.refused("send_command", "InvalidDocumentVersion", InstanceIds=online[:1], DocumentVersion="9", **run)
    judge.refused("send_command", "InvalidParameters", InstanceIds=online[:1], DocumentName=NAME, Parameters={"Word": ["$(id)"]})
    judge.refused("send_command", "InvalidParameters", InstanceIds=online[:1], DocumentName=NAME, Parameters={"Wort": ["x"]})
    judge.refused("send_command", "ValidationException", InstanceIds=online[:1], Comment="x" * 101, **run)
    judge.refused("send_command", "ValidationException", **run)
    judge.refused("get_command_invocation", "InvocationDoesNotExist", CommandId=UNKNOWN, InstanceId=online[0])
    judge.refused("get_command_invocation", "InvalidPluginName", CommandId=command, InstanceId=online[0], PluginName="shout")
    judge.refused("cancel_command", "InvalidCommandId", CommandId=UNKNOWN)
    judge.refused("list_commands", "ValidationException", MaxResults=51)
    judge.refused("list_command_invocations", "InvalidFilterKey", Filters=[{"key": "ExecutionStage", "value": "Complete"}])
    judge.refused("list_command_invocations", "InvalidNextToken", NextToken="nonsense")


def terminal(judge, online):
    """The same in a few words of awscli."""
    command = judge.cli("ssm", "send-command", "--instance-ids", online[0], "--document-name", "AWS-RunShellScript",
                        "--parameters", 'commands=["echo HelloWorld"]', "--comment", "echo HelloWorld")["Command"]["CommandId"]
    finished(judge, command)
    shown = judge.cli("ssm", "list-command-invocations", "--command-id", command, "--details")["CommandInvocations"]
    judge.check("awscli lists output", [i["CommandPlugins"][0]["Output"] for i in shown] == ["HelloWorld\n"])
    shown = judge.cli("ssm", "get-command-invocation", "--command-id", command, "--instance-id", online[0])
    judge.check("awscli returns output", (shown["PluginName"], shown["StandardOutputContent"]) == ("aws:runShellScript", "HelloWorld\n"))
    shown = judge.cli("ssm", "describe-instance-information", "--filters", "Key=PingStatus,Values=Online")
    judge.check("awscli lists nodes", online[0] in [n["InstanceId"] for n in shown["InstanceInformationList"]])
    judge.check("awscli returns a document", judge.cli("ssm", "get-document", "--name", "AWS-RunShellScript")["DocumentFormat"] == "JSON")


def main():
    judge = Judge("ssm")
    online = nodes(judge)
    documents(judge)
    try:
        commands(judge, online)
        terminal(judge, online)
    finally:
        judge.call("delete_document", Name=NAME)
    judge.refused("delete_document", "InvalidDocument", Name=NAME)
    judge.close()


if __name__ == "__main__":
    main()
