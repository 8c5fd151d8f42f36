"""A function without any library: it speaks the Runtime API by http.client."""
import http.client
import json
import os

runtime = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])


def call(method, path, body=None):
    runtime.request(method, "/2018-06-01/runtime" + path, body)
    answer = runtime.getresponse()
    return answer, answer.read()


while True:
    answer, event = call("GET", "/invocation/next")
    if answer.status != 200:
        raise SystemExit(0)
    invocation = "/invocation/" + answer.getheader("Lambda-Runtime-Aws-Request-Id")
    name = json.loads(event).get("name")
    if name is None:
        error = {"errorType": "KeyError", "errorMessage": "name"}
        call("POST", invocation + "/error", json.dumps(error))
        continue
    print("greeting", name, flush=True)
    greeting = {"greeting": "hello " + name, "function": os.environ["AWS_LAMBDA_FUNCTION_NAME"]}
    call("POST", invocation + "/response", json.dumps(greeting))
