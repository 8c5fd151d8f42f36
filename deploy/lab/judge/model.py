"""Holds the lab's answers against botocore's service models.

A Judge is a boto3 client that looks at each raw answer before botocore parses
it: a member that is missing though required, one that the model does not know,
a value of another type or outside an enumeration, an error that the action
does not have, or a header that AWS always sends and the lab does not, is a
failure. Parameters are not validated, so that the lab has to refuse bad ones.
Every call is one line of output; close() exits non-zero after any failure.
"""

import base64
import json
import os
import shutil
import subprocess
import sys
import xml.etree.ElementTree

import boto3
import botocore.config
import botocore.exceptions
# Errors that SNS answers with any action, though no model lists them.
COMMON_QUERY = {"InvalidAction", "MissingAction", "ValidationError"}

# Errors that SQS answers though its model does not list them.
UNLISTED = {"InvalidParameterValueException", "MissingRequiredParameterException"}

# Errors of AWS's own front, which no action lists.
COMMON = {
    "AccessDeniedException", "IncompleteSignatureException", "InternalFailure", "InvalidSignatureException",
    "MissingAuthenticationTokenException", "SerializationException", "ServiceUnavailableException",
    "ThrottlingException", "UnknownOperationException", "UnrecognizedClientException", "ValidationException",
}


def faults(shape, value, path="answer"):
    """Yields what is wrong with a raw value of a shape."""
    kind = shape.type_name
    if kind == "structure":
        if not isinstance(value, dict):
            yield "%s is not a structure" % path
            return
        for name in shape.required_members:
            if name not in value:
                yield "%s lacks %s" % (path, name)
        spelled = {member.serialization.get("name", name): member for name, member in shape.members.items()}
        for name, member in value.items():
            if name not in spelled:
                yield "%s has %s, which is unknown" % (path, name)
            elif member is None:
                yield "%s.%s is null" % (path, name)
            else:
                yield from faults(spelled[name], member, "%s.%s" % (path, name))
    elif kind == "list":
        if not isinstance(value, list):
            yield "%s is not a list" % path
            return
        for i, member in enumerate(value):
            yield from faults(shape.member, member, "%s[%d]" % (path, i))
    elif kind == "map":
        if not isinstance(value, dict):
            yield "%s is not a map" % path
            return
        for key, member in value.items():
            yield from faults(shape.key, key, "%s key" % path)
            yield from faults(shape.value, member, "%s.%s" % (path, key))
    else:
        yield from scalar_faults(shape, value, path)


def scalar_faults(shape, value, path):
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    right = {
        "string": isinstance(value, str),
        "character": isinstance(value, str),
        "boolean": isinstance(value, bool),
        "integer": number and float(value).is_integer(),
        "long": number and float(value).is_integer(),
        "float": number,
        "double": number,
        "timestamp": number and 0 < value < 1e11,
        "blob": is_base64(value),
    }
    if not right[shape.type_name]:
        yield "%s is not a %s: %.60r" % (path, shape.type_name, value)
        return
    enum = getattr(shape, "enum", None)
    if enum and value not in enum:
        yield "%s is %r, which is none of %s" % (path, value, ", ".join(enum))
    most = shape.metadata.get("max")
    # There is no check for min: AWS itself sends empty strings, such as
    # OutputS3BucketName, where its model forbids them.
    if shape.type_name == "string" and most is not None and len(value) > most:
        yield "%s has %d characters, more than %d" % (path, len(value), most)


def is_base64(value):
    try:
        base64.b64decode(value, validate=True)
    except (TypeError, ValueError):
        return False
    return True


def local(element):
    """The name of an element without its namespace."""
    return element.tag.rpartition("}")[2]


def element_faults(shape, element, path):
    """Yields what is wrong with an element of the query protocol."""
    kind = shape.type_name
    if kind == "structure":
        for child in element:
            if local(child) not in shape.members:
                yield "%s has %s, which is unknown" % (path, local(child))
            else:
                yield from element_faults(shape.members[local(child)], child, "%s.%s" % (path, local(child)))
        for name in set(shape.required_members) - {local(child) for child in element}:
            yield "%s lacks %s" % (path, name)
    elif kind == "list":
        for child in element:
            if local(child) != "member":
                yield "%s has %s in place of a member" % (path, local(child))
            yield from element_faults(shape.member, child, path + "[]")
    elif kind == "map":
        for child in element:
            if [local(c) for c in child] != ["key", "value"]:
                yield "%s has no entries of key and value" % path
    elif kind == "boolean" and element.text not in ("true", "false"):
        yield "%s is no boolean: %s" % (path, element.text)
    elif len(element):
        yield "%s has elements" % path


def error_faults(operation, body):
    """Yields what is wrong with a raw error."""
    if not isinstance(body, dict) or not isinstance(body.get("__type"), str):
        yield "an error without __type"
        return
    code = body["__type"]
    shape = {e.name: e for e in operation.error_shapes}.get(code)
    if shape is not None:
        # EventBridge's errors have no members in the model, but were recorded with a message.
        known = {"__type"} if shape.members else {"__type", "message"}
        yield from faults(shape, {k: v for k, v in body.items() if k not in known}, code)
    elif code in COMMON | UNLISTED:
        for name in set(body) - {"__type", "message", "Message"}:
            yield "%s has %s, which is unknown" % (code, name)
    else:
        yield "%s is no error of %s" % (code, operation.name)


class Judge:
    """A client of one service whose answers are judged."""

    def __init__(self, service):
        self.service = service
        self.endpoint = os.environ["AWS_ENDPOINT_URL"]
        self.calls = self.failures = 0
        self.found = []
        config = botocore.config.Config(parameter_validation=False, retries={"total_max_attempts": 1})
        self.client = boto3.client(service, endpoint_url=self.endpoint, config=config)
        # The query protocol has no types on the wire to be held against the model: there, botocore's
        # own reading is judged.
        self.protocol = self.client.meta.service_model.metadata["protocol"]
        # Every operation's answer passes here before botocore makes it its own.
        self.client.meta.events.register("before-parse.%s" % service, self._look)

    def _look(self, operation_model, response_dict, **_):
        headers = {k.lower(): v for k, v in response_dict["headers"].items()}
        text = response_dict["body"]
        for name in ("x-amzn-requestid", "content-type"):
            if name not in headers:
                self.found.append("no %s header" % name)
        if self.protocol == "query":
            self._look_at_xml(operation_model, headers, text)
            return
        version = self.client.meta.service_model.metadata["jsonVersion"]
        if headers.get("content-type") != "application/x-amz-json-" + version:
            self.found.append("content type %s" % headers.get("content-type"))
        try:
            body = json.loads(text) if text else {}
        except ValueError as problem:
            self.found.append("no JSON: %s" % problem)
            return
        if response_dict["status_code"] >= 300:
            self.found.extend(error_faults(operation_model, body))
        elif operation_model.output_shape is None:
            self.found.extend("an answer where there is none: %s" % name for name in body)
        else:
            self.found.extend(faults(operation_model.output_shape, body))

    def _look_at_xml(self, operation, headers, text):
        """Judges the elements of an answer by their names, and that each is where it belongs."""
        if headers.get("content-type") != "text/xml":
            self.found.append("content type %s" % headers.get("content-type"))
        try:
            root = xml.etree.ElementTree.fromstring(text)
        except xml.etree.ElementTree.ParseError as problem:
            self.found.append("no XML: %s" % problem)
            return
        name = local(root)
        if name == "ErrorResponse":
            wanted = {"Error", "RequestId"}
            code = root.findtext("{*}Error/{*}Code")
            codes = {e.metadata.get("error", {}).get("code", e.name) for e in operation.error_shapes}
            if code not in codes | COMMON_QUERY:
                self.found.append("%s is no error of %s" % (code, operation.name))
        else:
            wanted = {"ResponseMetadata"}
            if name != operation.name + "Response":
                self.found.append("the answer is a %s" % name)
            if operation.output_shape is not None:
                wanted.add(operation.output_shape.serialization["resultWrapper"])
        for child in root:
            if local(child) not in wanted:
                self.found.append("the answer has %s, which is unknown" % local(child))
            elif local(child) not in ("ResponseMetadata", "Error", "RequestId"):
                self.found.extend(element_faults(operation.output_shape, child, "answer"))
            wanted.discard(local(child))
        self.found.extend("the answer lacks %s" % w for w in sorted(wanted))

    def _line(self, name, outcome, wrong):
        self.calls += 1
        self.failures += bool(wrong)
        print("%s %s %s %s" % ("FAIL" if wrong else "ok", self.service, name, outcome))
        for problem in wrong:
            print("     %s" % problem)
        sys.stdout.flush()

    def _call(self, method, params):
        self.found = []
        try:
            return getattr(self.client, method)(**params), None
        except botocore.exceptions.ClientError as refusal:
            return None, refusal

    def call(self, method, **params):
        """Makes a call that must succeed, and returns botocore's answer."""
        answer, refusal = self._call(method, params)
        if refusal is not None:
            self._line(method, refusal, self.found + ["refused"])
            raise refusal
        self._line(method, "", self.found)
        return answer

    def refused(self, method, code, message=None, **params):
        """Makes a call that must be refused with a code, and maybe a message."""
        _, refusal = self._call(method, params)
        wrong = list(self.found)
        error = refusal.response["Error"] if refusal else {"Code": "success", "Message": ""}
        if error["Code"] != code:
            wrong.append("want %s" % code)
        if message is not None and error["Message"] != message:
            wrong.append("want %r" % message)
        self._line(method, "refused: %(Code)s %(Message)s" % error, wrong)

    def pages(self, method, key, **params):
        """Makes a call until there is no NextToken, and returns all items."""
        items, params = [], dict(params)
        while True:
            answer = self.call(method, **params)
            items += answer[key]
            if not answer.get("NextToken"):
                return items
            params["NextToken"] = answer["NextToken"]

    def cli(self, *words):
        """Runs awscli and returns what it printed; None for nothing."""
        program = shutil.which("aws")
        if program is None:
            raise SystemExit("awscli is not installed")
        done = subprocess.run([program, "--endpoint-url", self.endpoint, "--output", "json", *words],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
        wrong = [] if done.returncode == 0 else [done.stderr.strip()]
        self._line("aws " + words[1], "", wrong)
        if wrong:
            raise AssertionError(done.stderr)
        return json.loads(done.stdout) if done.stdout.strip() else None

    def check(self, what, right):
        """Notes a claim about the answers so far."""
        self._line(what, "", [] if right else ["not so"])

    def close(self):
        """Ends the judgment: exits non-zero after a failure."""
        print("%d passed, %d failed" % (self.calls - self.failures, self.failures))
        if self.failures:
            raise SystemExit(1)
