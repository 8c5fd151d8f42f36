package iam

import (
	"maps"
	"slices"
	"strings"
)

// Keys are the condition keys of a call with their values. Their names may be
// written in any case.
type Keys map[string][]string

// lower returns a copy with names in lower case, as policies are matched
// against. Keys without a value are absent.
func (k Keys) lower() Keys {
	out := make(Keys, len(k))
	for name, values := range k {
		if len(values) > 0 {
			out[strings.ToLower(name)] = slices.Clone(values)
		}
	}
	return out
}

// with returns a copy with more keys.
func (k Keys) with(more Keys) Keys {
	out := maps.Clone(k)
	if out == nil {
		out = Keys{}
	}
	maps.Copy(out, more)
	return out
}

// arity tells how many values a condition key can have.
type arity int

const (
	single arity = iota
	multi
)

// known are the condition keys that the lab gives values to, and those that
// are rightly absent in it: no call comes through a VPC endpoint or from an
// organization. A name that ends in / or : is the beginning of many, one for
// each tag or member of an encryption context. A policy with any other key is
// refused: on AWS it would load, and its condition would hold never or always.
//
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html
// and the page of each service in
// https://docs.aws.amazon.com/service-authorization/latest/reference/reference_policies_actions-resources-contextkeys.html
var known = map[string]arity{
	"aws:currenttime":           single,
	"aws:epochtime":             single,
	"aws:principalaccount":      single,
	"aws:principalarn":          single, // of a session: the ARN of its role
	"aws:principalisawsservice": single,
	"aws:principalorgid":        single, // absent
	"aws:principalservicename":  single,
	"aws:principaltype":         single,
	"aws:requestedregion":       single,
	"aws:requesttag/":           single,
	"aws:resourceaccount":       single,
	"aws:resourcetag/":          single,
	"aws:securetransport":       single, // true: loopback stands for TLS
	"aws:sourceaccount":         single, // of calls that a service makes
	"aws:sourcearn":             single, // of calls that a service makes
	"aws:sourceip":              single,
	"aws:sourceowner":           single, // absent: services that send it make no calls here
	"aws:sourcevpc":             single, // absent
	"aws:sourcevpce":            single, // absent
	"aws:tagkeys":               multi,
	"aws:useragent":             single,
	"aws:userid":                single,
	"aws:username":              single, // of users
	"aws:viaawsservice":         single,

	"iam:passedtoservice":     single,
	"iam:permissionsboundary": single,

	"kms:calleraccount":         single,
	"kms:encryptioncontext:":    single,
	"kms:encryptioncontextkeys": multi,
	"kms:grantisforawsresource": single, // absent: the lab has no grants
	"kms:viaservice":            single,

	"lambda:functionarn": single,
	"lambda:principal":   single, // of AddPermission

	"s3:delimiter":        single,
	"s3:if-match":         single,
	"s3:if-none-match":    single,
	"s3:max-keys":         single,
	"s3:object-lock-mode": single,
	"s3:object-lock-remaining-retention-days":        single,
	"s3:object-lock-retain-until-date":               single,
	"s3:prefix":                                      single,
	"s3:tlsversion":                                  single, // 1.3: see aws:SecureTransport
	"s3:versionid":                                   single,
	"s3:x-amz-acl":                                   single,
	"s3:x-amz-server-side-encryption":                single,
	"s3:x-amz-server-side-encryption-aws-kms-key-id": single,

	"secretsmanager:blockpublicpolicy":               single,
	"secretsmanager:description":                     single,
	"secretsmanager:forcedeletewithoutrecovery":      single,
	"secretsmanager:kmskeyid":                        single,
	"secretsmanager:name":                            single,
	"secretsmanager:recoverywindowindays":            single,
	"secretsmanager:resource/allowrotationlambdaarn": single, // the function that the secret has
	"secretsmanager:resourcetag/":                    single,
	"secretsmanager:rotateimmediately":               single,
	"secretsmanager:rotationlambdaarn":               single, // the function that the request names
	"secretsmanager:secretid":                        single, // the ARN
	"secretsmanager:versionid":                       single, // of GetSecretValue
	"secretsmanager:versionstage":                    single, // of GetSecretValue and UpdateSecretVersionStage; PutSecretValue has none

	"sns:endpoint": single, // of Subscribe
	"sns:protocol": single, // of Subscribe

	"ssm:resourcetag/": single,
}

// keyNamed finds a key by its name in lower case.
func keyNamed(name string) (arity, bool) {
	if a, ok := known[name]; ok {
		return a, !strings.HasSuffix(name, "/") && !strings.HasSuffix(name, ":")
	}
	for _, separator := range []string{"/", ":"} {
		// aws:ResourceTag/a/b is the tag a/b, kms:EncryptionContext:a:b the member a:b.
		first, rest, ok := strings.Cut(name, ":")
		if !ok {
			return single, false
		}
		group, member, ok := strings.Cut(rest, separator)
		if a, known := known[first+":"+group+separator]; ok && known && member != "" {
			return a, true
		}
	}
	return single, false
}
