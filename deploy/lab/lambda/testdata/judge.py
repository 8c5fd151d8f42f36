"""Makes every call of the lab's Lambda with boto3 and awscli.

Run with the variables that the lab prints, and the folder of model.py in
PYTHONPATH: that is what each raw answer is held against. It needs the function
"sample" with the alias "live".
"""

import io
import json
import os
import subprocess
import sys
import zipfile

import boto3
import botocore.config
import botocore.exceptions
from model import COMMON, faults

config = botocore.config.Config(parameter_validation=False, retries={"total_max_attempts": 1})
client = boto3.client("lambda", config=config)
wrong = []


def look(operation_model, response_dict, **_):
    """Holds one raw answer against the model, before botocore parses it."""
    headers, shape = response_dict["headers"], operation_model.output_shape
    found = []
    if response_dict["status_code"] >= 300:
        code = headers.get("x-amzn-errortype")
        shape = {e.name: e for e in operation_model.error_shapes}.get(code)
        if shape is None and code not in COMMON:
            found.append("%s is no error of it" % code)
    if shape is not None and "payload" not in shape.serialization:
        found += faults(shape, json.loads(response_dict["body"] or "{}"))
    wrong.extend("%s: %s" % (operation_model.name, f) for f in found)


client.meta.events.register("before-parse.lambda", look)


def check(what, got, want):
    if got != want:
        wrong.append("%s: got %r, want %r" % (what, got, want))


def refused(what, code, method, **params):
    try:
        getattr(client, method)(**params)
        got = "success"
    except botocore.exceptions.ClientError as e:
        got = e.response["Error"]["Code"]
    check(what, got, code)


def invoke(**params):
    answer = client.invoke(FunctionName="sample", **params)
    return answer["StatusCode"], answer.get("FunctionError"), answer["Payload"].read().decode()


check("list", [f["FunctionName"] for f in client.list_functions()["Functions"]], ["sample"])
check("get", client.get_function(FunctionName="sample")["Configuration"]["State"], "Active")
arn = client.get_function_configuration(FunctionName="sample", Qualifier="live")["FunctionArn"]
check("the ARN of an alias", arn.split(":")[-2:], ["sample", "live"])
check("an answer", invoke(Payload='{"n":1}'), (200, None, '{"n":1}'))
check("an answer by alias", invoke(Payload='{"n":1}', Qualifier="live"), (200, None, '{"n":1}'))
status, error, payload = invoke(Payload='{"Do":"exit","Code":3}')
check("an exit", (status, error, json.loads(payload)["errorType"]), (200, "Unhandled", "Runtime.ExitError"))
check("an event", invoke(Payload="{}", InvocationType="Event"), (202, None, ""))
check("a dry run", invoke(Payload="{}", InvocationType="DryRun"), (204, None, ""))
check("a log", "LogResult" in client.invoke(FunctionName=arn, LogType="Tail"), True)
refused("no such function", "ResourceNotFoundException", "invoke", FunctionName="other")
refused("no such alias", "ResourceNotFoundException", "get_function", FunctionName="sample:none")
refused("no name", "ValidationException", "invoke", FunctionName="sam ple")
refused("no JSON", "InvalidRequestContentException", "invoke", FunctionName="sample", Payload="{")
refused("two aliases", "InvalidParameterValueException", "invoke", FunctionName=arn, Qualifier="none")
refused("no such operation", "UnknownOperationException", "list_layers")

role, code = "arn:aws:iam::111122223333:role/rotate", io.BytesIO()
with zipfile.ZipFile(code, "w") as archive:
    archive.writestr("bootstrap", "#!/bin/sh\nexit 1\n")
code = code.getvalue()
hand = {"FunctionName": "hand"}
client.create_function(**hand, Role=role, Runtime="provided.al2023", Handler="bootstrap", Code={"ZipFile": code}, Timeout=60,
                       Environment={"Variables": {"USERS": "1"}}, LoggingConfig={"LogFormat": "JSON"})
refused("it is there", "ResourceConflictException", "create_function", **hand, Role=role, Runtime="provided.al2023",
        Handler="bootstrap", Code={"ZipFile": code})
client.get_waiter("function_active_v2").wait(**hand)
check("code", client.update_function_code(**hand, ZipFile=code, Publish=True)["Timeout"], 60)
check("memory", client.update_function_configuration(**hand, MemorySize=512)["MemorySize"], 512)
check("a version", client.publish_version(**hand)["Version"], "2")
alias = client.create_alias(**hand, Name="live", FunctionVersion="$LATEST")
check("the alias", client.get_alias(**hand, Name="live")["AliasArn"], alias["AliasArn"])
permission = {"StatementId": "sm", "Action": "lambda:InvokeFunction", "Principal": "secretsmanager.amazonaws.com", "SourceAccount": "111122223333"}
client.add_permission(**hand, **permission)
refused("it has it", "ResourceConflictException", "add_permission", **hand, **permission)
check("its policy", json.loads(client.get_policy(**hand)["Policy"])["Statement"][0]["Sid"], "sm")
client.remove_permission(**hand, StatementId="sm")
refused("it has no policy", "ResourceNotFoundException", "get_policy", **hand)
client.put_function_concurrency(**hand, ReservedConcurrentExecutions=10)
client.delete_function_concurrency(**hand)
client.delete_alias(**hand, Name="live")
client.delete_function(**hand)
refused("it is gone", "ResourceNotFoundException", "get_function", **hand)

alias = {"FunctionName": "sample", "Qualifier": "live"}
client.put_function_event_invoke_config(MaximumRetryAttempts=1, **alias)
client.update_function_event_invoke_config(
    DestinationConfig={"OnFailure": {"Destination": "arn:aws:sqs:us-east-1:111122223333:failed"}}, **alias)
kept = client.get_function_event_invoke_config(**alias)
check("what is kept", (kept["MaximumRetryAttempts"], kept["DestinationConfig"]["OnFailure"]["Destination"][-6:]), (1, "failed"))
check("the list", len(client.list_function_event_invoke_configs(FunctionName="sample")["FunctionEventInvokeConfigs"]), 1)
client.delete_function_event_invoke_config(**alias)
refused("no configuration", "ResourceNotFoundException", "get_function_event_invoke_config", **alias)
refused("too many retries", "ValidationException", "put_function_event_invoke_config", MaximumRetryAttempts=3, **alias)

cli = subprocess.run(["aws", "lambda", "invoke", "--function-name", "sample", "/dev/stdout"],
                     stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
check("awscli", (cli.returncode, cli.stdout[:2], cli.stderr), (0, "{}", ""))

print("\n".join(wrong))
sys.exit(bool(wrong))
