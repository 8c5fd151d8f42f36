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
    role = resources["RotateRole"]
    iam, ssm = client("iam"), client("ssm")
    function = client("lambda").get_function_configuration(FunctionName=resources["Rotate"])
    policies = {}
    for policy in iam.list_role_policies(RoleName=role)["PolicyNames"]:
        document = iam.get_role_policy(RoleName=role, PolicyName=policy)["PolicyDocument"]
        # moto keeps the objects of a role's own policies as Python writes them.
        policies[policy] = document if isinstance(document, dict) else ast.literal_eval(document)
    stacks[name] = {
        "Status": stack["StackStatus"],
        "Outputs": {o["OutputKey"]: o["OutputValue"] for o in stack["Outputs"]},
        "Resources": resources,
        "Skipped": sorted(set(wanted) - set(resources)),
        "BucketPolicy": clean_json(template["BucketPolicy"]["Properties"]["PolicyDocument"], parsed),
        "Environment": function["Environment"]["Variables"],
        "Function": {k: function[k] for k in ("Runtime", "Handler", "Timeout", "MemorySize")},
        "Trust": iam.get_role(RoleName=role)["Role"]["AssumeRolePolicyDocument"],
        "Permission": json.loads(client("lambda").get_policy(FunctionName=resources["Rotate"])["Policy"]),
        "Policies": policies,
        "Documents": {
            d: {"Hash": ssm.describe_document(Name=resources[d])["Document"]["Hash"], "Content": ssm.get_document(Name=resources[d])["Content"]}
            for d in ("ApplyDocument", "InspectDocument")
        },
    }
server.stop()
json.dump({"packaged": text, "stacks": stacks}, sys.stdout)
