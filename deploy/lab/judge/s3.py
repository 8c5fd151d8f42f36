"""Calls everything in the lab's S3 with clients that nobody here wrote.

Run as `python3 s3.py` with the variables that the lab prints. S3 speaks XML
and headers, so that each raw answer is held against botocore's model here and
not by model.py: an element or x-amz header that the model does not know, or an
error without code, message and request id, is a failure. The bucket of
retained objects stays, since nobody can delete it; the other one does not.
"""

import datetime
import json
import os
import tempfile
import xml.etree.ElementTree as tree

import botocore.exceptions

from model import Judge

LOCKED = "keytrail-judge-%d" % os.getpid()
PLAIN = LOCKED + "-plain"
YEAR = datetime.timedelta(days=365)
POLICY = json.dumps({"Version": "2012-10-17", "Statement": []})
# Headers of every answer, which no model lists.
COMMON = {"x-amz-id-2", "x-amz-request-id"}


def element_faults(shape, element, path):
    """Yields the elements that a shape does not know, or that are no numbers."""
    if shape.type_name == "structure":
        spelled = {m.serialization.get("name", n): m for n, m in shape.members.items()}
        for child in element:
            name = child.tag.rsplit("}", 1)[-1]
            if name not in spelled:
                yield "%s has %s, which is unknown" % (path, name)
                continue
            member = spelled[name]
            if member.type_name == "list":  # all of S3's are flat, but Buckets
                if member.serialization.get("flattened"):
                    yield from element_faults(member.member, child, "%s.%s" % (path, name))
                else:
                    for item in child:
                        yield from element_faults(member.member, item, "%s.%s" % (path, name))
            else:
                yield from element_faults(member, child, "%s.%s" % (path, name))
    elif shape.type_name in ("integer", "long") and not (element.text or "").isdigit():
        yield "%s is not a number: %r" % (path, element.text)
    elif shape.type_name == "boolean" and element.text not in ("true", "false"):
        yield "%s is not a boolean: %r" % (path, element.text)
    elif shape.type_name == "timestamp":
        try:
            datetime.datetime.strptime(element.text or "", "%Y-%m-%dT%H:%M:%S.%fZ")
        except ValueError:
            if not (element.text or "").endswith("Z"):
                yield "%s is not a time: %r" % (path, element.text)
    elif getattr(shape, "enum", None) and element.text not in shape.enum:
        yield "%s is %r, which is none of %s" % (path, element.text, ", ".join(shape.enum))


class S3Judge(Judge):
    """A judge of REST XML."""

    def _look(self, operation_model, response_dict, **_):
        headers = {k.lower(): v for k, v in response_dict["headers"].items()}
        body, status = response_dict["body"], response_dict["status_code"]
        self.found.extend("no %s header" % name for name in sorted(COMMON) if not headers.get(name))
        shape = operation_model.output_shape
        if status >= 300:
            self._look_at_error(operation_model, status, headers, body)
            return
        members = shape.members if shape else {}
        known = {m.serialization["name"].lower() for m in members.values() if m.serialization.get("location") == "header"}
        for name in headers:
            meta = name.startswith("x-amz-meta-") and "Metadata" in members
            if name.startswith("x-amz-") and name not in known | COMMON and not meta:
                self.found.append("header %s, which is unknown" % name)
        payload = shape.serialization.get("payload") if shape else None
        if payload:
            shape = shape.members[payload]
        if shape is None or shape.type_name != "structure" or not body:
            return
        if headers.get("content-type") != "application/xml":
            self.found.append("content type %s" % headers.get("content-type"))
        root = tree.fromstring(body)
        if not root.tag.startswith("{http://s3.amazonaws.com/doc/2006-03-01/}") and operation_model.name != "DeleteObjects":
            self.found.append("no namespace: %s" % root.tag)
        if operation_model.name != "GetBucketLocation":  # whose root is its only member
            self.found.extend(element_faults(shape, root, root.tag.rsplit("}", 1)[-1]))

    def _look_at_error(self, operation_model, status, headers, body):
        if operation_model.http["method"] == "HEAD":
            if body:
                self.found.append("a body that answers HEAD")
            return
        root = tree.fromstring(body)
        if root.tag != "Error" or headers.get("content-type") not in ("application/xml", "text/xml"):
            self.found.append("%s as %s is no error" % (root.tag, headers.get("content-type")))
        for name in ("Code", "Message", "RequestId"):
            if not root.findtext(name):
                self.found.append("an error of status %d without %s" % (status, name))
        if root.findtext("RequestId") != headers.get("x-amz-request-id"):
            self.found.append("two request ids")


def conditions(judge, bucket):
    first = judge.call("put_object", Bucket=bucket, Key="state", Body=b"1", IfNoneMatch="*")
    judge.refused("put_object", "PreconditionFailed", "At least one of the pre-conditions you specified did not hold",
                  Bucket=bucket, Key="state", Body=b"2", IfNoneMatch="*")
    judge.call("put_object", Bucket=bucket, Key="state", Body=b"2", IfMatch=first["ETag"])
    judge.refused("put_object", "PreconditionFailed", Bucket=bucket, Key="state", Body=b"3", IfMatch=first["ETag"])
    judge.refused("put_object", "NoSuchKey", "The specified key does not exist.", Bucket=bucket, Key="none", Body=b"3", IfMatch=first["ETag"])
    judge.refused("delete_object", "PreconditionFailed", Bucket=bucket, Key="state", IfMatch=first["ETag"])
    judge.check("the second write stands", judge.call("get_object", Bucket=bucket, Key="state")["Body"].read() == b"2")


def objects(judge):
    for algorithm in ("CRC32", "SHA1", "SHA256"):
        judge.call("put_object", Bucket=LOCKED, Key="a/b c/\u00fc", Body=b"bytes", ChecksumAlgorithm=algorithm, Metadata={"use": "judge"},
                   ContentType="text/plain")
        got = judge.call("get_object", Bucket=LOCKED, Key="a/b c/\u00fc", ChecksumMode="ENABLED")
        judge.check("%s comes back" % algorithm, got["Body"].read() == b"bytes" and "Checksum" + algorithm in got)
    judge.check("metadata come back", got["Metadata"] == {"use": "judge"} and got["ContentType"] == "text/plain")
    part = judge.call("get_object", Bucket=LOCKED, Key="a/b c/\u00fc", Range="bytes=1-2")
    judge.check("a part", part["Body"].read() == b"yt" and part["ContentRange"] == "bytes 1-2/5")
    head = judge.call("head_object", Bucket=LOCKED, Key="a/b c/\u00fc", VersionId=got["VersionId"])
    judge.check("head of a version", head["ContentLength"] == 5 and head["VersionId"] == got["VersionId"])
    judge.refused("head_object", "404", Bucket=LOCKED, Key="none")
    judge.refused("get_object", "NoSuchKey", Bucket=LOCKED, Key="none")
    judge.refused("get_object", "NoSuchVersion", Bucket=LOCKED, Key="a/b c/\u00fc", VersionId="none")
    judge.refused("get_object", "NoSuchBucket", Bucket=LOCKED + "-none", Key="none")
    judge.refused("get_object", "InvalidRange", Bucket=LOCKED, Key="a/b c/\u00fc", Range="bytes=9-")
    judge.refused("put_object", "BadDigest", Bucket=LOCKED, Key="bad", Body=b"x", ChecksumCRC32="AAAAAA==")
    judge.refused("get_object_tagging", "NotImplemented", Bucket=LOCKED, Key="a/b c/\u00fc")


def lists(judge):
    for n in range(5):
        judge.call("put_object", Bucket=LOCKED, Key="list/%d" % n, Body=b"")
    keys, params = [], {}
    while True:
        page = judge.call("list_objects_v2", Bucket=LOCKED, Prefix="list/", MaxKeys=2, **params)
        keys += [o["Key"] for o in page["Contents"]]
        if not page["IsTruncated"]:
            break
        params["ContinuationToken"] = page["NextContinuationToken"]
    judge.check("all keys in pages of two", keys == ["list/%d" % n for n in range(5)])
    judge.check("an empty list is counted", judge.call("list_objects_v2", Bucket=LOCKED, Prefix="none")["KeyCount"] == 0)
    rolled = judge.call("list_objects_v2", Bucket=LOCKED, Delimiter="/")
    judge.check("common prefixes", [p["Prefix"] for p in rolled["CommonPrefixes"]] == ["a/", "list/"])
    judge.call("list_objects", Bucket=LOCKED, Prefix="list/", MaxKeys=2)
    judge.call("delete_object", Bucket=LOCKED, Key="list/0")
    versions = judge.call("list_object_versions", Bucket=LOCKED, Prefix="list/0")
    judge.check("a delete marker before its version", versions["DeleteMarkers"][0]["IsLatest"] and not versions["Versions"][0]["IsLatest"])
    judge.refused("get_object", "MethodNotAllowed", Bucket=LOCKED, Key="list/0", VersionId=versions["DeleteMarkers"][0]["VersionId"])
    deleted = judge.call("delete_objects", Bucket=LOCKED, Delete={"Objects": [
        {"Key": "list/0", "VersionId": versions["DeleteMarkers"][0]["VersionId"]}, {"Key": "list/1"}]})
    judge.check("two deleted", len(deleted["Deleted"]) == 2)


def retention(judge):
    until = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0) + YEAR
    lock = {"Bucket": LOCKED, "Key": "evidence", "ObjectLockMode": "COMPLIANCE", "ObjectLockRetainUntilDate": until}
    put = judge.call("put_object", Body=b"1", **lock)
    head = judge.call("head_object", Bucket=LOCKED, Key="evidence")
    judge.check("head tells the retention", head["ObjectLockMode"] == "COMPLIANCE" and head["ObjectLockRetainUntilDate"] == until)
    got = judge.call("get_object_retention", Bucket=LOCKED, Key="evidence")["Retention"]
    judge.check("retention", got == {"Mode": "COMPLIANCE", "RetainUntilDate": until})
    judge.refused("delete_object", "AccessDenied", "Access Denied because object protected by object lock.",
                  Bucket=LOCKED, Key="evidence", VersionId=put["VersionId"], BypassGovernanceRetention=True)
    judge.refused("put_object_retention", "AccessDenied", Bucket=LOCKED, Key="evidence",
                  Retention={"Mode": "COMPLIANCE", "RetainUntilDate": until - YEAR / 2})
    judge.call("put_object_retention", Bucket=LOCKED, Key="evidence", Retention={"Mode": "COMPLIANCE", "RetainUntilDate": until + YEAR})
    judge.call("put_object", Bucket=LOCKED, Key="evidence", Body=b"2")
    judge.refused("get_object_retention", "NoSuchObjectLockConfiguration", Bucket=LOCKED, Key="evidence")
    judge.check("the first version stands",
                judge.call("get_object", Bucket=LOCKED, Key="evidence", VersionId=put["VersionId"])["Body"].read() == b"1")
    judge.refused("put_object", "InvalidRequest", "Bucket is missing Object Lock Configuration", Body=b"1", **{**lock, "Bucket": PLAIN})
    judge.call("get_object_lock_configuration", Bucket=LOCKED)
    judge.refused("get_object_lock_configuration", "ObjectLockConfigurationNotFoundError", Bucket=PLAIN)


def buckets(judge):
    judge.call("list_buckets")
    judge.check("the Region", judge.call("head_bucket", Bucket=LOCKED)["BucketRegion"] == judge.client.meta.region_name)
    judge.call("get_bucket_location", Bucket=LOCKED)
    judge.check("versions", judge.call("get_bucket_versioning", Bucket=LOCKED).get("Status") == "Enabled")
    judge.check("no versions", "Status" not in judge.call("get_bucket_versioning", Bucket=PLAIN))
    judge.refused("get_bucket_policy", "NoSuchBucketPolicy", Bucket=PLAIN)
    judge.call("put_bucket_policy", Bucket=PLAIN, Policy=POLICY)
    judge.check("the policy", judge.call("get_bucket_policy", Bucket=PLAIN)["Policy"] == POLICY)
    judge.call("delete_bucket_policy", Bucket=PLAIN)
    block = {"BlockPublicAcls": True, "IgnorePublicAcls": True, "BlockPublicPolicy": False, "RestrictPublicBuckets": False}
    judge.call("put_public_access_block", Bucket=PLAIN, PublicAccessBlockConfiguration=block)
    judge.check("what may be public", judge.call("get_public_access_block", Bucket=PLAIN)["PublicAccessBlockConfiguration"] == block)
    judge.call("delete_public_access_block", Bucket=PLAIN)
    judge.refused("get_public_access_block", "NoSuchPublicAccessBlockConfiguration", Bucket=PLAIN)
    judge.refused("create_bucket", "InvalidBucketName", Bucket="Not.A.Name")


def awscli(judge):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "body")
        with open(path, "w", encoding="utf-8") as f:
            f.write("from awscli")
        put = judge.cli("s3api", "put-object", "--bucket", PLAIN, "--key", "cli/a", "--body", path, "--if-none-match", "*")
        listed = judge.cli("s3api", "list-objects-v2", "--bucket", PLAIN, "--prefix", "cli/")
        judge.check("what awscli put is listed", [o["ETag"] for o in listed["Contents"]] == [put["ETag"]])
        judge.cli("s3api", "get-object", "--bucket", PLAIN, "--key", "cli/a", path + ".back")
        with open(path + ".back", encoding="utf-8") as f:
            judge.check("and comes back", f.read() == "from awscli")
        judge.cli("s3api", "delete-object", "--bucket", PLAIN, "--key", "cli/a")
        judge.cli("s3api", "list-object-versions", "--bucket", LOCKED, "--prefix", "evidence")


def main():
    judge = S3Judge("s3")
    try:
        judge.call("create_bucket", Bucket=LOCKED, ObjectLockEnabledForBucket=True)
        judge.call("create_bucket", Bucket=PLAIN)
        for bucket in (LOCKED, PLAIN):
            conditions(judge, bucket)
        objects(judge)
        lists(judge)
        retention(judge)
        buckets(judge)
        awscli(judge)
        judge.refused("delete_bucket", "BucketNotEmpty", Bucket=LOCKED)
        judge.call("delete_object", Bucket=PLAIN, Key="state")
        judge.call("delete_bucket", Bucket=PLAIN)
    except botocore.exceptions.ClientError:
        pass  # its line is a failure already
    judge.close()


if __name__ == "__main__":
    main()
