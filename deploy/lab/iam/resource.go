package iam

import (
	"cmp"
	"encoding/xml"
	"strings"
)

// resource is what an action is judged on.
type resource struct {
	arn   string
	typed string // what the caller called it, where AWS's answer repeats that
	keys  Keys
}

// kindOfResource finds the resources of a request. None means that the request
// does not need the permission.
type kindOfResource func(*question) []resource

// kindsOfResource are the words of calls.txt.
var kindsOfResource = map[string]kindOfResource{
	"*": func(*question) []resource { return []resource{{arn: "*"}} },

	// The secret that SecretId names, all that BatchGetSecretValue lists, the
	// one to be made, its customer managed key, and its rotation function: the
	// one that the request names, else the one that it has.
	"secret":            func(q *question) []resource { return q.secrets("SecretId") },
	"secrets":           func(q *question) []resource { return q.secrets("SecretIdList") },
	"new-secret":        (*question).newSecret,
	"secret-key":        (*question).secretKey,
	"rotation-function": (*question).rotationFunction,

	"document": (*question).document, // of Systems Manager, by Name
	"tagged":   (*question).tagged,   // what ResourceType and ResourceId name
	// Resources that the service knows first; it asks for each of them.
	"by-the-service": func(*question) []resource { return nil },

	"bucket":          func(q *question) []resource { return []resource{{arn: "arn:aws:s3:::" + q.bucket()}} },
	"object":          func(q *question) []resource { return []resource{{arn: "arn:aws:s3:::" + q.path()}} },
	"objects":         func(q *question) []resource { return q.listed(false) }, // those of DeleteObjects
	"object-versions": func(q *question) []resource { return q.listed(true) },

	"function":     (*question).function, // with its qualifier
	"new-function": func(q *question) []resource { return some(q.arn("lambda", "function:"+q.member("FunctionName"))) },
	"passed-role":  (*question).passedRole, // the one of Role, to Lambda
	"log-group":    func(q *question) []resource { return some(q.arn("logs", "log-group:"+q.member("logGroupName")+":*")) },
	"topic": func(q *question) []resource {
		return append(some(q.member("TargetArn")), some(q.member("TopicArn"))...)
	},
	"new-topic": func(q *question) []resource { return some(q.arn("sns", q.member("Name"))) },
	"topic-key": func(q *question) []resource {
		return q.messageKeys(append(q.members("TargetArn"), q.members("TopicArn")...))
	},
	"tagged-topic": func(q *question) []resource { return some(q.member("ResourceArn")) },
	"topic-of":     (*question).topicOf, // SubscriptionArn
	"queue":        (*question).queue,   // the last part of QueueUrl
	// The customer managed key of a topic or a queue, which it uses in the
	// caller's name.
	"queue-key":   func(q *question) []resource { return q.messageKeys([]string{q.queue()[0].arn}) },
	"named-queue": func(q *question) []resource { return some(q.arn("sqs", q.member("QueueName"))) },
	"rule":        func(q *question) []resource { return some(q.arn("events", "rule/"+q.member("Name"))) },
	"rule-of":     func(q *question) []resource { return some(q.arn("events", "rule/"+q.member("Rule"))) },
	"event-bus":   func(q *question) []resource { return some(q.arn("events", "event-bus/default")) },
	"role":        (*question).role,  // the one of RoleName
	"trail":       (*question).trail, // the one of Name or TrailName, which may be an ARN
	"simulated":   func(q *question) []resource { return some(q.member("PolicySourceArn")) },
	"stack":       (*question).stack, // the one of StackName
}

// some is a resource unless it has no ARN.
func some(arn string) []resource {
	if arn == "" {
		return nil
	}
	return []resource{{arn: arn}}
}

// arn returns the ARN of something in the account and Region.
func (q *question) arn(service, rest string) string {
	return "arn:aws:" + service + ":" + q.gate.engine.region + ":" + q.gate.engine.account + ":" + rest
}

// secrets returns the secrets that a member names. AWS's answer repeats the
// name as it came; one that finds nothing is judged by it as well.
func (q *question) secrets(member string) (list []resource) {
	for _, id := range q.members(member) {
		s, ok := q.gate.directory.Secret(id)
		if !ok {
			s.ARN = id
			if !strings.HasPrefix(id, "arn:") {
				s.ARN = q.arn("secretsmanager", "secret:"+id)
			}
		}
		k := Keys{"secretsmanager:SecretId": {s.ARN}}
		if s.Function != "" {
			k["secretsmanager:resource/AllowRotationLambdaArn"] = []string{s.Function}
		}
		list = append(list, resource{arn: s.ARN, typed: id, keys: k.with(tagKeys(s.Tags, "secretsmanager:ResourceTag/"))})
	}
	return list
}

// newSecret is judged by its name alone: the six characters that AWS adds to
// the ARN are not known yet.
func (q *question) newSecret() []resource {
	name := q.member("Name")
	return []resource{{arn: q.arn("secretsmanager", "secret:"+name), typed: name}}
}

// secretKey returns the customer managed key of a secret. The service uses it
// in the caller's name, for this secret only.
// https://docs.aws.amazon.com/secretsmanager/latest/userguide/security-encryption.html
func (q *question) secretKey() []resource {
	s, _ := q.gate.directory.Secret(cmp.Or(q.member("SecretId"), q.member("Name")))
	key := cmp.Or(q.member("KmsKeyId"), s.Key)
	if key == "" || key == "alias/aws/secretsmanager" {
		return nil
	}
	return []resource{{arn: q.gate.keyARN(key), keys: Keys{
		"kms:CallerAccount":               {q.gate.engine.account},
		"kms:EncryptionContext:SecretARN": {cmp.Or(s.ARN, q.arn("secretsmanager", "secret:"+q.member("Name")))},
		"kms:EncryptionContextKeys":       {"SecretARN", "SecretVersionId"},
		"kms:ViaService":                  {"secretsmanager." + q.gate.engine.region + ".amazonaws.com"},
		"aws:ViaAWSService":               {"true"},
	}}}
}

// keyARN makes an ARN of a key's id or of an alias.
func (g *Gate) keyARN(key string) string {
	if strings.HasPrefix(key, "arn:") {
		return key
	}
	if !strings.HasPrefix(key, "alias/") {
		key = "key/" + key
	}
	return "arn:aws:kms:" + g.engine.region + ":" + g.engine.account + ":" + key
}

// messageKeys returns the customer managed keys of topics or queues.
func (q *question) messageKeys(holders []string) (list []resource) {
	for _, arn := range holders {
		if key := q.gate.directory.Key(arn); key != "" && !strings.HasPrefix(key, "alias/aws/") {
			list = append(list, q.gate.messageKey(arn, key))
		}
	}
	return list
}

// messageKey is a key as it is used for a topic or a queue.
// https://docs.aws.amazon.com/sns/latest/dg/sns-key-management.html
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-key-management.html
func (g *Gate) messageKey(holder, key string) resource {
	service, member := "sqs", "aws:sqs:arn"
	if strings.HasPrefix(holder, "arn:aws:sns:") {
		service, member = "sns", "aws:sns:topicArn"
	}
	return resource{arn: g.keyARN(key), keys: Keys{
		"kms:CallerAccount":               {g.engine.account},
		"kms:EncryptionContext:" + member: {holder},
		"kms:EncryptionContextKeys":       {member},
		"kms:ViaService":                  {service + "." + g.engine.region + ".amazonaws.com"},
		"aws:ViaAWSService":               {"true"},
	}}
}

func (q *question) rotationFunction() []resource {
	s, _ := q.gate.directory.Secret(q.member("SecretId"))
	return some(cmp.Or(q.member("RotationLambdaARN"), s.Function))
}

func (q *question) document() []resource {
	return []resource{q.tags(q.documentARN(cmp.Or(q.member("Name"), q.member("DocumentName"))))}
}

// documentARN leaves out the account of AWS's own documents.
func (q *question) documentARN(name string) string {
	switch {
	case strings.HasPrefix(name, "arn:"):
		return name
	case strings.HasPrefix(name, "AWS-"):
		return "arn:aws:ssm:" + q.gate.engine.region + "::document/" + name
	default:
		return q.arn("ssm", "document/"+name)
	}
}

func (q *question) tagged() []resource {
	id := q.member("ResourceId")
	if q.member("ResourceType") == "Document" {
		return []resource{q.tags(q.documentARN(id))}
	}
	return []resource{q.tags(q.arn("ssm", "managed-instance/"+id))}
}

func (q *question) tags(arn string) resource {
	return resource{arn: arn, keys: tagKeys(q.gate.directory.Tags(arn), "ssm:resourceTag/")}
}

// tagKeys makes condition keys of a resource's tags: the one that all services
// have, and the service's own.
func tagKeys(tags map[string]string, own string) Keys {
	k := Keys{}
	for name, value := range tags {
		k["aws:ResourceTag/"+name] = []string{value}
		k[own+name] = []string{value}
	}
	return k
}

func (q *question) path() string { return strings.TrimPrefix(q.http.URL.Path, "/") }

func (q *question) bucket() string {
	b, _, _ := strings.Cut(q.path(), "/")
	return b
}

// listed returns the objects of a DeleteObjects request, those with a version
// or those without.
func (q *question) listed(versions bool) (list []resource) {
	var in struct {
		Object []struct{ Key, VersionId string }
	}
	if xml.Unmarshal(q.Body, &in) != nil {
		return nil // the service says so
	}
	for _, o := range in.Object {
		if (o.VersionId != "") == versions {
			list = append(list, resource{arn: "arn:aws:s3:::" + q.bucket() + "/" + o.Key})
		}
	}
	return list
}

// function reads /2015-03-31/functions/NAME/…, where NAME may be a name, a
// partial ARN or an ARN, and the qualifier in it or beside it.
func (q *question) function() []resource {
	parts := strings.Split(q.http.URL.Path, "/")
	if len(parts) < 4 {
		return nil
	}
	name := parts[3]
	if i := strings.Index(name, "function:"); i >= 0 {
		name = name[i+len("function:"):]
	}
	if qualifier := q.http.URL.Query().Get("Qualifier"); qualifier != "" && !strings.Contains(name, ":") {
		name += ":" + qualifier
	}
	return some(q.arn("lambda", "function:"+name))
}

func (q *question) passedRole() []resource {
	role := q.member("Role")
	if role == "" {
		return nil
	}
	return []resource{{arn: role, keys: Keys{"iam:PassedToService": {"lambda.amazonaws.com"}}}}
}

// topicOf is the first part of a subscription.
func (q *question) topicOf() []resource {
	subscription := q.member("SubscriptionArn")
	return some(subscription[:max(strings.LastIndexByte(subscription, ':'), 0)])
}

func (q *question) queue() []resource {
	url := q.member("QueueUrl")
	return some(q.arn("sqs", url[strings.LastIndexByte(url, '/')+1:]))
}

func (q *question) role() []resource {
	name := q.member("RoleName")
	path := cmp.Or(q.member("Path"), "/")
	if r, ok := q.gate.engine.Role(name); ok {
		path = r.Path
	}
	return some(q.gate.engine.RoleARN(path, name))
}

// stack is judged with any id where the call names it without one, and as all
// where it does not name it.
func (q *question) stack() []resource {
	switch name := q.member("StackName"); {
	case name == "":
		return []resource{{arn: "*"}}
	case strings.HasPrefix(name, "arn:"):
		return some(name)
	default:
		return some(q.arn("cloudformation", "stack/"+name+"/*"))
	}
}

func (q *question) trail() []resource {
	name := cmp.Or(q.member("TrailName"), q.member("Name"))
	if strings.HasPrefix(name, "arn:") {
		return some(name)
	}
	return some(q.arn("cloudtrail", "trail/"+name))
}
