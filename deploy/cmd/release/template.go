package main

import (
	"fmt"
	"strings"
)

// standAlone makes the template name the function's zip by two parameters, where the one in the
// repository names a file beside it: a console takes no files but the template.
func standAlone(template string) (string, error) {
	for _, edit := range []struct{ old, new string }{
		{"        Parameters: [Architecture, ", "        Parameters: [CodeBucket, CodeKey, Architecture, "},
		{"      Architecture:\n        default:", `      CodeBucket:
        default: Bucket of the function's zip
      CodeKey:
        default: Key of the function's zip
      Architecture:
        default:`},
		{"  Architecture:\n    Type: String\n", `  CodeBucket:
    Type: String
    Description: A bucket of this Region that holds the function's zip of this release.
    AllowedPattern: '^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$'
    ConstraintDescription: A bucket's name has 3 to 63 lower-case letters, digits, dots and hyphens.
  CodeKey:
    Type: String
    Description: Its key there. Upload a release's zip under a key of its own, or CloudFormation sees no change.
    MinLength: 1
    MaxLength: 1024
  Architecture:
    Type: String
`},
		{"      Code: ../build/rotate-arm64.zip\n", `      Code:
        S3Bucket: !Ref CodeBucket
        S3Key: !Ref CodeKey
`},
	} {
		if n := strings.Count(template, edit.old); n != 1 {
			return "", fmt.Errorf("%q is there %d times, not once", edit.old, n)
		}
		template = strings.Replace(template, edit.old, edit.new, 1)
	}
	return template, nil
}
