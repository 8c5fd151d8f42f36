"""Lets SAM's translator read the template named by the first argument, which asks nothing of it."""
import json
import os
import sys

from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator
from samtranslator.yaml_helper import yaml_parse

os.environ.setdefault("AWS_DEFAULT_REGION", "us-east-1")
with open(sys.argv[1], encoding="utf-8") as file:
    text = file.read()
before = yaml_parse(text)
after = Translator({}, Parser()).translate(yaml_parse(text), {})
if before != after:
    sys.exit("SAM changed the template")
print(json.dumps(sorted(after["Resources"])))
