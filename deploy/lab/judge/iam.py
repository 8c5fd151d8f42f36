"""Calls the lab's IAM and STS with clients that nobody here wrote.

Run as `python3 iam.py` with the variables that the lab prints. Both speak XML,
so that each raw answer is held against botocore's model here and not by
model.py: an element that the model does not know, a required one that is
missing, or an error that the action does not have, is a failure.
"""

import json
import os
import tempfile
import xml.etree.ElementTree as tree

from model import Judge

ROLE = "keytrail-judge-%d" % os.getpid()
BASIC = "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"
TRUST = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}]}
POLICY = {"Version": "2012-10-17", "Statement": [{"Sid": "Read", "Effect": "Allow", "Action": "s3:GetObject",
                                                  "Resource": "arn:aws:s3:::b/a b+c/*", "Condition": {"StringLike": {"aws:UserAgent": "<a & b>"}}}]}
# Errors that every action may have.
COMMON = {"AccessDenied", "InvalidAction", "ValidationError"}


def local(element):
    return element.tag.rsplit("}", 1)[-1]


def element_faults(shape, element, path="answer"):
    """Yields what is wrong with an element of a shape."""
    if shape.type_name == "structure":
        seen = set()
        for child in element:
            name = local(child)
            seen.add(name)
            if name not in shape.members:
                yield "%s has %s, which is unknown" % (path, name)
            else:
                yield from element_faults(shape.members[name], child, "%s.%s" % (path, name))
        for name in set(shape.required_members) - seen:
            yield "%s lacks %s" % (path, name)
    elif shape.type_name == "list":
        for child in element:
            if local(child) != "member":
                yield "%s has %s in a list" % (path, local(child))
            yield from element_faults(shape.member, child, path + "[]")
    elif shape.type_name == "boolean" and element.text not in ("true", "false"):
        yield "%s is not a boolean: %r" % (path, element.text)
    elif shape.type_name == "integer" and not (element.text or "").isdigit():
        yield "%s is not a number: %r" % (path, element.text)


class QueryJudge(Judge):
    """Judges answers of the query protocol."""

    def _look(self, operation_model, response_dict, **_):
        root = tree.fromstring(response_dict["body"])
        name = operation_model.name
        if response_dict["status_code"] >= 300:
            codes = COMMON | {s.metadata.get("error", {}).get("code", s.name) for s in operation_model.error_shapes}
            code = root.findtext("{*}Error/{*}Code")
            if local(root) != "ErrorResponse" or code not in codes or not root.findtext("{*}Error/{*}Message") or not root.findtext("{*}RequestId"):
                self.found.append("%s is no error of %s" % (code, name))
            return
        space = {"x": self.client.meta.service_model.metadata["xmlNamespace"]}
        if local(root) != name + "Response" or not root.findtext("x:ResponseMetadata/x:RequestId", None, space):
            self.found.append("no %sResponse with its request id" % name)
        result = root.find("x:%sResult" % name, space)
        if (result is None) != (operation_model.output_shape is None):
            self.found.append("a result where there is none, or none")
        elif result is not None:
            self.found.extend(element_faults(operation_model.output_shape, result))


def roles(judge):
    created = judge.call("create_role", RoleName=ROLE, Path="/keytrail/", AssumeRolePolicyDocument=json.dumps(TRUST))["Role"]
    judge.check("the role has its path", created["Arn"].endswith(":role/keytrail/" + ROLE))
    judge.refused("create_role", "EntityAlreadyExists", "Role with name %s already exists." % ROLE, RoleName=ROLE, AssumeRolePolicyDocument=json.dumps(TRUST))
    judge.refused("create_role", "MalformedPolicyDocument", RoleName=ROLE + "x", AssumeRolePolicyDocument=json.dumps(POLICY))
    judge.refused("create_role", "ValidationError", RoleName="no name", AssumeRolePolicyDocument=json.dumps(TRUST))
    judge.refused("create_role", "ValidationError", RoleName=ROLE + "x", AssumeRolePolicyDocument=json.dumps(TRUST), Tags=[{"Key": "k", "Value": "v"}])
    judge.check("GetRole is what CreateRole was", judge.call("get_role", RoleName=ROLE)["Role"] == created)
    judge.check("its trust policy comes back", created["AssumeRolePolicyDocument"] == TRUST)
    judge.refused("get_role", "NoSuchEntity", "The role with name nobody cannot be found.", RoleName="nobody")


def policies(judge):
    arn = judge.call("get_role", RoleName=ROLE)["Role"]["Arn"]
    judge.call("put_role_policy", RoleName=ROLE, PolicyName="read", PolicyDocument=json.dumps(POLICY))
    judge.check("the policy comes back", judge.call("get_role_policy", RoleName=ROLE, PolicyName="read")["PolicyDocument"] == POLICY)
    bad = json.dumps(POLICY).replace("StringLike", "StringAlike")
    judge.refused("put_role_policy", "MalformedPolicyDocument", RoleName=ROLE, PolicyName="bad", PolicyDocument=bad)
    judge.refused("get_role_policy", "NoSuchEntity", "The role policy with name bad cannot be found.", RoleName=ROLE, PolicyName="bad")
    judge.check("one is listed", judge.call("list_role_policies", RoleName=ROLE)["PolicyNames"] == ["read"])
    judge.call("attach_role_policy", RoleName=ROLE, PolicyArn=BASIC)
    judge.refused("attach_role_policy", "NoSuchEntity", RoleName=ROLE, PolicyArn=BASIC + "x")
    attached = judge.call("list_attached_role_policies", RoleName=ROLE)["AttachedPolicies"]
    asked = judge.call("simulate_principal_policy", PolicySourceArn=arn, ActionNames=["s3:GetObject", "logs:PutLogEvents"])["EvaluationResults"]
    judge.check("what the role may do", [(a["EvalActionName"], a["EvalDecision"]) for a in asked] ==
                [("s3:GetObject", "implicitDeny"), ("logs:PutLogEvents", "allowed")])
    judge.refused("simulate_principal_policy", "NoSuchEntity", PolicySourceArn=arn + "x", ActionNames=["s3:GetObject"])
    judge.refused("simulate_principal_policy", "InvalidInput", PolicySourceArn="arn:aws:iam::aws:policy/x", ActionNames=["s3:GetObject"])
    judge.check("one is attached", attached == [{"PolicyName": "AWSLambdaBasicExecutionRole", "PolicyArn": BASIC}])


def end(judge):
    judge.refused("delete_role", "DeleteConflict", RoleName=ROLE)
    judge.call("delete_role_policy", RoleName=ROLE, PolicyName="read")
    judge.refused("delete_role_policy", "NoSuchEntity", RoleName=ROLE, PolicyName="read")
    judge.refused("delete_role", "DeleteConflict", "Cannot delete entity, must detach all policies first.", RoleName=ROLE)
    judge.call("detach_role_policy", RoleName=ROLE, PolicyArn=BASIC)
    judge.refused("detach_role_policy", "NoSuchEntity", RoleName=ROLE, PolicyArn=BASIC)
    judge.call("delete_role", RoleName=ROLE)
    judge.refused("delete_role", "NoSuchEntity", RoleName=ROLE)
    judge.refused("list_users", "InvalidAction")


def by_hand(judge):
    with tempfile.NamedTemporaryFile("w", suffix=".json") as trust, tempfile.NamedTemporaryFile("w", suffix=".json") as policy:
        for file, document in ((trust, TRUST), (policy, POLICY)):
            json.dump(document, file)
            file.flush()
        judge.cli("iam", "create-role", "--role-name", ROLE, "--assume-role-policy-document", "file://" + trust.name)
        judge.cli("iam", "put-role-policy", "--role-name", ROLE, "--policy-name", "read", "--policy-document", "file://" + policy.name)
    shown = judge.cli("iam", "get-role-policy", "--role-name", ROLE, "--policy-name", "read")
    judge.check("awscli shows the policy", shown["PolicyDocument"] == POLICY)
    judge.cli("iam", "delete-role-policy", "--role-name", ROLE, "--policy-name", "read")
    judge.cli("iam", "delete-role", "--role-name", ROLE)
    me = judge.cli("sts", "get-caller-identity")
    judge.check("I am the operator", me["Arn"] == "arn:aws:iam::111122223333:user/operator" and me["UserId"].startswith("AIDA"))


def main():
    judge = QueryJudge("iam")
    roles(judge)
    policies(judge)
    end(judge)
    by_hand(judge)
    sts = QueryJudge("sts")
    judge.check("STS knows the account", sts.call("get_caller_identity")["Account"] == "111122223333")
    judge.failures += sts.failures
    judge.close()


if __name__ == "__main__":
    main()
