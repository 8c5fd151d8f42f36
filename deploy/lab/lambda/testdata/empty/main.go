// Command empty is the smallest function: what it costs is what a sandbox
// costs.
package main

import "github.com/aws/aws-lambda-go/lambda"

func main() { lambda.Start(func() {}) }
