"""Packages the template named by the first argument with awscli and creates stacks from it in moto.

Standard input: {stack name: {parameter: value}}; a value "vpc", "subnets" or "route tables" is replaced by
what moto has. Standard output: {"packaged": text, "stacks": {name: what moto made of it}}.
"""
import ast
import json
import os
import subprocess
import sys
import tempfile

import boto3
from moto.cloudformation.models import cloudformation_backends
from moto.cloudformation.parsing import clean_json
from moto.server import ThreadedMotoServer

REGION = "us-east-1"

server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
_, port = server.get_host_and_port()
# moto takes the bucket of a template's address from its path only where the host is called so.
endpoint = f"http://localhost:{port}"


def client(service):
    return boto3.client(service, region_name=REGION, endpoint_url=endpoint, aws_access_key_id="a", aws_secret_access_key="b")


client("s3").create_bucket(Bucket="artifacts")
packaged = os.path.join(tempfile.mkdtemp(), "packaged.yaml")
subprocess.run(
    ["aws", "cloudformation", "package", "--template-file", sys.argv[1], "--s3-bucket", "artifacts", "--output-template-file", packaged],
    env={**os.environ, "AWS_ENDPOINT_URL": endpoint, "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_DEFAULT_REGION": REGION},
    check=True, stdout=subprocess.DEVNULL,
)
with open(packaged, encoding="utf-8") as file:
    text = file.read()
client("s3").put_object(Bucket="artifacts", Key="template", Body=text.encode())

ec2 = client("ec2")
network = {
    "vpc": ec2.describe_vpcs()["Vpcs"][0]["VpcId"],
    "subnets": ",".join(s["SubnetId"] for s in ec2.describe_subnets()["Subnets"][:2]),
    "route tables": ec2.describe_route_tables()["RouteTables"][0]["RouteTableId"],
}


def resource_policy(properties, parsed):
    """The policy that a resource puts on another. In lists moto leaves None of AWS::NoValue."""
    policy = clean_json(properties["PolicyDocument"], parsed)
    return {**policy, "Statement": [s for s in policy["Statement"] if s is not None]}


stacks = {}
cloudformation = client("cloudformation")
for name, parameters in json.load(sys.stdin).items():
    cloudformation.create_stack(
        StackName=name, TemplateURL=f"{endpoint}/artifacts/template", Capabilities=["CAPABILITY_IAM"],
        Parameters=[{"ParameterKey": k, "ParameterValue": network.get(v, v)} for k, v in parameters.items()],
    )
    stack = cloudformation.describe_stacks(StackName=name)["Stacks"][0]
    made = [r for r in cloudformation.describe_stack_resources(StackName=name)["StackResources"] if "ResourceType" in r]
    resources = {r["LogicalResourceId"]: r.get("PhysicalResourceId") for r in made}
    inner = cloudformation_backends["123456789012"][REGION].get_stack(name)
    template, parsed = inner.template_dict["Resources"], inner.resource_map
    wanted = [k for k, r in template.items() if "Condition" not in r or parsed.lazy_condition_map[r["Condition"]]]
    iam, ssm, functions, events = client("iam"), client("ssm"), client("lambda"), client("events")

    def of_type(kind):
        return sorted(k for k in wanted if template[k]["Type"] == kind)

    roles, policies = {k: resources[k] for k in of_type("AWS::IAM::Role")}, {}
    for role_id, role in roles.items():
        policies[role_id] = {}
        for policy in iam.list_role_policies(RoleName=role)["PolicyNames"]:
            document = iam.get_role_policy(RoleName=role, PolicyName=policy)["PolicyDocument"]
            # moto keeps the objects of a role's own policies as Python writes them.
            policies[role_id][policy] = document if isinstance(document, dict) else ast.literal_eval(document)
    made_functions = {k: functions.get_function_configuration(FunctionName=resources[k]) for k in of_type("AWS::Lambda::Function")}
    stacks[name] = {
        "Status": stack["StackStatus"],
        "Outputs": {o["OutputKey"]: o["OutputValue"] for o in stack["Outputs"]},
        "Resources": resources,
        "Skipped": sorted(set(wanted) - set(resources)),
        # moto makes none of these; they are the template's, as moto evaluates it.
        "ResourcePolicies": {
            k: resource_policy(template[k]["Properties"], parsed)
            for kind in ("AWS::S3::BucketPolicy", "AWS::SNS::TopicPolicy", "AWS::SQS::QueuePolicy") for k in of_type(kind)
        },
        "Functions": {
            k: {"Environment": f["Environment"]["Variables"], **{n: f[n] for n in ("FunctionArn", "Runtime", "Handler", "Timeout", "MemorySize")}}
            for k, f in made_functions.items()
        },
        "Trust": {k: iam.get_role(RoleName=role)["Role"]["AssumeRolePolicyDocument"] for k, role in roles.items()},
        "Permissions": {k: json.loads(functions.get_policy(FunctionName=resources[k])["Policy"])["Statement"] for k in made_functions},
        "Policies": policies,
        "Rules": {
            k: {n: events.describe_rule(Name=resources[k]).get(n, "") for n in ("Arn", "State", "EventPattern", "ScheduleExpression")}
            | {"Targets": events.list_targets_by_rule(Rule=resources[k])["Targets"]}
            for k in of_type("AWS::Events::Rule")
        },
        "Queues": {
            k: client("sqs").get_queue_attributes(QueueUrl=resources[k], AttributeNames=["All"])["Attributes"] for k in of_type("AWS::SQS::Queue")
        },
        "Documents": {
            d: {"Hash": ssm.describe_document(Name=resources[d])["Document"]["Hash"], "Content": ssm.get_document(Name=resources[d])["Content"]}
            for d in ("ApplyDocument", "InspectDocument")
        },
    }
server.stop()
json.dump({"packaged": text, "stacks": stacks}, sys.stdout)
