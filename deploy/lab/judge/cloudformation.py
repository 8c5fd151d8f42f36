"""Deploys a stack to the lab with clients that nobody here wrote.

Run as `python3 cloudformation.py FOLDER` with the variables that the lab prints.
The folder has template.yaml, whose function has the path of an archive for
its code, and that archive: awscli packages both, deploys them, changes
parameters, and gets its stack back as boto3 sees it. CloudFormation speaks XML,
so that each raw answer is held against botocore's model here and not by
model.py.
"""

import json
import os
import subprocess
import sys
import time
import xml.etree.ElementTree as tree

import botocore.exceptions

from model import Judge

# AWS sends this as the first event of a stack that began as a change set; its model does not have it.
UNMODELLED = {"REVIEW_IN_PROGRESS"}
BUCKET = "keytrail-judge-code"
STACK = "judge"


def element_faults(shape, element, path):
    """Yields the elements that a shape does not know or that are of another kind."""
    if shape.type_name == "structure":
        for child in element:
            name = child.tag.rsplit("}", 1)[-1]
            if name in shape.members:
                yield from element_faults(shape.members[name], child, "%s.%s" % (path, name))
            else:
                yield "%s has %s, which is unknown" % (path, name)
        names = {child.tag.rsplit("}", 1)[-1] for child in element}
        for name in shape.required_members:
            if name not in names:
                yield "%s lacks %s" % (path, name)
    elif shape.type_name == "list":
        for child in element:
            if child.tag.rsplit("}", 1)[-1] != "member":
                yield "%s has %s, which is no member" % (path, child.tag)
            yield from element_faults(shape.member, child, path + "[]")
    elif shape.type_name == "boolean" and element.text not in ("true", "false"):
        yield "%s is not a boolean: %r" % (path, element.text)
    elif shape.type_name == "timestamp":
        try:
            time.strptime(element.text or "", "%Y-%m-%dT%H:%M:%S.%fZ")
        except ValueError:
            yield "%s is not a time: %r" % (path, element.text)
    elif getattr(shape, "enum", None) and element.text not in set(shape.enum) | UNMODELLED:
        yield "%s is %r, which is none of %s" % (path, element.text, ", ".join(shape.enum))


class StackJudge(Judge):
    """Looks at answers of the query protocol."""

    def _look(self, operation_model, response_dict, **_):
        headers = {k.lower(): v for k, v in response_dict["headers"].items()}
        if "x-amzn-requestid" not in headers or headers.get("content-type") != "text/xml":
            self.found.append("headers are %s" % headers)
        try:
            root = tree.fromstring(response_dict["body"])
        except tree.ParseError as problem:
            self.found.append("no XML: %s" % problem)
            return
        if root.tag.split("}")[0] != "{http://cloudformation.amazonaws.com/doc/2010-05-15/":
            self.found.append("the root is %s" % root.tag)
        if response_dict["status_code"] >= 300:
            texts = {e.tag.rsplit("}", 1)[-1]: e.text for e in root.iter()}
            if not all(texts.get(name) for name in ("Code", "Message", "Type", "RequestId")):
                self.found.append("an error of %s" % texts)
            return
        for element in root:
            name = element.tag.rsplit("}", 1)[-1]
            if name == operation_model.name + "Result":
                self.found.extend(element_faults(operation_model.output_shape, element, "answer"))
            elif name != "ResponseMetadata":
                self.found.append("the answer has %s" % name)


def aws(judge, *words, want=0):
    """Runs awscli in words of its own, which are not JSON."""
    done = subprocess.run(["aws", *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    wrong = [] if (done.returncode != 0) == (want != 0) else [done.stdout]
    judge._line("aws " + " ".join(words[:2]), done.stdout.strip().splitlines()[-1] if want and done.stdout else "", wrong)
    return done.stdout


def deploy(judge, packaged, *parameters, want=0):
    """Deploys the packaged template."""
    overrides = ["--parameter-overrides", *parameters] if parameters else []
    return aws(judge, "cloudformation", "deploy", "--template-file", packaged, "--stack-name", STACK, "--s3-bucket", BUCKET,
               "--capabilities", "CAPABILITY_NAMED_IAM", "--tags", "team=keys", "--no-fail-on-empty-changeset", *overrides, want=want)


def outputs(judge):
    """Returns the outputs of the stack."""
    stack = judge.call("describe_stacks", StackName=STACK)["Stacks"][0]
    return {o["OutputKey"]: o["OutputValue"] for o in stack["Outputs"]}, stack


def stack(judge, folder):
    """Packages, deploys, changes, breaks and removes a stack."""
    source, packaged = os.path.join(folder, "template.yaml"), os.path.join(folder, "packaged.yaml")
    aws(judge, "s3api", "create-bucket", "--bucket", BUCKET)
    aws(judge, "cloudformation", "package", "--template-file", source, "--s3-bucket", BUCKET, "--output-template-file", packaged)
    with open(packaged, encoding="utf-8") as f:
        body = f.read()
    judge.check("the code is in S3", "S3Key" in body)

    said = deploy(judge, packaged, "Greeting=hello", "Password=secret")
    judge.check("awscli made the stack", "Successfully created/updated stack - %s" % STACK in said)
    out, described = outputs(judge)
    judge.check("the stack is complete", described["StackStatus"] == "CREATE_COMPLETE")
    judge.check("its parameters are there", {p["ParameterKey"]: p["ParameterValue"] for p in described["Parameters"]}
                == {"Greeting": "hello", "Password": "****"})
    judge.check("and its tags", described["Tags"] == [{"Key": "team", "Value": "keys"}])
    said = aws(judge, "lambda", "invoke", "--function-name", out["Function"], os.path.join(folder, "answer"))
    judge.check("the packaged code runs", '"StatusCode": 200' in said and "FunctionError" not in said)

    said = deploy(judge, packaged)
    judge.check("a second time changes nothing", "No changes to deploy" in said)
    deploy(judge, packaged, "Greeting=good bye")
    function = json.loads(aws(judge, "lambda", "get-function-configuration", "--function-name", out["Function"]))
    judge.check("a parameter reaches the function", function["Environment"]["Variables"]["GREETING"] == "good bye")
    judge.check("and the other keeps its value", function["Environment"]["Variables"]["PASSWORD"] == "secret")

    said = deploy(judge, packaged, "Greeting=", want=1)
    judge.check("a bad parameter is named", "Parameter Greeting failed to satisfy constraint: must not be empty" in said)
    return body, out


def calls(judge, body, out):
    """Makes the calls that awscli's deploy does not make."""
    judge.call("validate_template", TemplateBody=body)
    summary = judge.call("get_template_summary", StackName=STACK)
    judge.check("capabilities are told", summary["Capabilities"] == ["CAPABILITY_IAM"])
    resources = judge.call("describe_stack_resources", StackName=STACK)["StackResources"]
    judge.check("the function is a resource", out["Function"] in [r["PhysicalResourceId"] for r in resources])
    events = judge.call("describe_stack_events", StackName=STACK)["StackEvents"]
    judge.check("the newest event comes first", events[0]["ResourceStatus"] == "UPDATE_COMPLETE" and events[-1]["ResourceStatus"] == "REVIEW_IN_PROGRESS")
    judge.call("describe_stacks")

    change = judge.call("create_change_set", StackName=STACK, ChangeSetName="one", UsePreviousTemplate=True, Capabilities=["CAPABILITY_IAM"],
                        Parameters=[{"ParameterKey": "Greeting", "ParameterValue": "x"}, {"ParameterKey": "Password", "UsePreviousValue": True}])
    changes = judge.call("describe_change_set", ChangeSetName=change["Id"])["Changes"]
    judge.check("the change set is about the function", [(c["ResourceChange"]["LogicalResourceId"], c["ResourceChange"]["Action"], c["ResourceChange"]["Replacement"])
                                                       for c in changes] == [("Function", "Modify", "False")])
    judge.call("delete_change_set", ChangeSetName=change["Id"])
    judge.refused("execute_change_set", "ChangeSetNotFound", ChangeSetName=change["Id"])

    judge.refused("create_stack", "AlreadyExistsException", "Stack [%s] already exists" % STACK, StackName=STACK, TemplateBody=body,
                  Capabilities=["CAPABILITY_IAM"], Parameters=[{"ParameterKey": "Password", "ParameterValue": "x"}])
    judge.refused("create_stack", "InsufficientCapabilitiesException", "Requires capabilities : [CAPABILITY_IAM]", StackName="other", TemplateBody=body)
    judge.refused("create_stack", "ValidationError", StackName="other", TemplateBody=body + " " * 51200)
    judge.refused("create_stack", "ValidationError", "Parameters: [Password] must have values", StackName="other", TemplateBody=body, Capabilities=["CAPABILITY_IAM"])
    judge.refused("describe_stacks", "ValidationError", "Stack with id other does not exist", StackName="other")
    judge.refused("update_stack", "ValidationError", "No updates are to be performed.", StackName=STACK, UsePreviousTemplate=True, Capabilities=["CAPABILITY_IAM"],
                  Parameters=[{"ParameterKey": k, "UsePreviousValue": True} for k in ("Greeting", "Password")])

    failing = {"Resources": {"B": {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": BUCKET}}}}
    judge.call("create_stack", StackName="failing", TemplateBody=json.dumps(failing))
    failed = judge.call("describe_stacks", StackName="failing")["Stacks"][0]
    judge.check("a bucket that is taken rolls back", failed["StackStatus"] == "ROLLBACK_COMPLETE")
    reasons = [e.get("ResourceStatusReason", "") for e in judge.call("describe_stack_events", StackName="failing")["StackEvents"]]
    judge.check("and the events say why", any("already exists" in r and "HandlerErrorCode: AlreadyExists" in r for r in reasons))
    judge.check("as does the stack", "The following resource(s) failed to create: [B]. Rollback requested by user." in reasons)
    for name in ("failing", STACK, "other"):
        judge.call("delete_stack", StackName=name)
    judge.refused("describe_stacks", "ValidationError", StackName=STACK)
    gone = judge.call("list_stacks")["StackSummaries"]
    judge.check("deleted stacks are listed, the newest first", [(s["StackName"], s["StackStatus"]) for s in gone] ==
                [("failing", "DELETE_COMPLETE"), (STACK, "DELETE_COMPLETE")])
    judge.check("no other is left", judge.call("list_stacks", StackStatusFilter=["CREATE_COMPLETE", "UPDATE_COMPLETE"]).get("StackSummaries", []) == [])


def main():
    judge = StackJudge("cloudformation")
    try:
        body, out = stack(judge, sys.argv[1])
        calls(judge, body, out)
    except botocore.exceptions.ClientError:
        pass  # its line is a failure already
    judge.close()


if __name__ == "__main__":
    main()
