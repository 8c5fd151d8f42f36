package main

import (
	"fmt"
	"strings"
)

// standAlone makes the template name the functions' zips by parameters, where the one in the repository
// names files beside it: a console takes no files but the template.
func standAlone(template string) (string, error) {
	for _, edit := range []struct{ old, new string }{
		{"        Parameters: [Architecture, ", "        Parameters: [CodeBucket, CodeKey, EventsCodeKey, Architecture, "},
		{"      Architecture:\n        default:", `      CodeBucket:
        default: Bucket of the functions' zips
      CodeKey:
        default: Key of the zip that rotates
      EventsCodeKey:
        default: Key of the zip that watches
      Architecture:
        default:`},
		{"  Architecture:\n    Type: String\n", `  CodeBucket:
    Type: String
    Description: A bucket of this Region that holds the zips of this release.
    AllowedPattern: '^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$'
    ConstraintDescription: A bucket's name has 3 to 63 lower-case letters, digits, dots and hyphens.
  CodeKey:
    Type: String
    Description: >-
      Key there of the zip of rotate. Upload each release under keys of its own, or CloudFormation sees no change.
    MinLength: 1
    MaxLength: 1024
  EventsCodeKey:
    Type: String
    Description: Key there of the zip of events. Empty where Watch is "false".
    MaxLength: 1024
    Default: ''
  Architecture:
    Type: String
`},
		{"      Code: ../build/rotate-arm64.zip\n", `      Code:
        S3Bucket: !Ref CodeBucket
        S3Key: !Ref CodeKey
`},
		{"      Code: ../build/events-arm64.zip\n", `      Code:
        S3Bucket: !Ref CodeBucket
        S3Key: !Ref EventsCodeKey
`},
		{"\nRules:\n", `
Rules:
  WatchNeedsCode:
    RuleCondition: !Equals [!Ref Watch, 'true']
    Assertions:
      - Assert: !Not [!Equals [!Ref EventsCodeKey, '']]
        AssertDescription: 'Watch needs EventsCodeKey: the zip of the function that watches.'
`},
	} {
		if n := strings.Count(template, edit.old); n != 1 {
			return "", fmt.Errorf("%q is there %d times, not once", edit.old, n)
		}
		template = strings.Replace(template, edit.old, edit.new, 1)
	}
	return template, nil
}
