package events

import (
	"encoding/json"
	"fmt"
	"strings"
)

// record is a record of CloudTrail, as far as it is read. The JSON decoder ignores case, which takes care
// of aRN and ARN, SecretId and secretId.
// https://docs.aws.amazon.com/secretsmanager/latest/userguide/cloudtrail_log_entries.html
type record struct {
	EventID       text             `json:"eventID"`
	EventTime     text             `json:"eventTime"`
	RequestID     text             `json:"requestID"`
	SourceAddress text             `json:"sourceIPAddress"`
	ErrorCode     text             `json:"errorCode"`
	ErrorMessage  text             `json:"errorMessage"`
	Recipient     text             `json:"recipientAccountId"`
	Region        text             `json:"awsRegion"`
	Identity      identity         `json:"userIdentity"`
	Request       request          `json:"requestParameters"`
	Response      about            `json:"responseElements"`
	Additional    about            `json:"additionalEventData"`
	Service       about            `json:"serviceEventDetails"`
	Resources     lenient[[]about] `json:"resources"`
}

// lenient is a value of a shape that no document promises: another shape reads as the zero value.
type lenient[T any] struct{ is T }

func (l *lenient[T]) UnmarshalJSON(b []byte) error {
	var is T
	if json.Unmarshal(b, &is) == nil {
		l.is = is
	}
	return nil
}

// about names a secret and a version, in each way that was seen.
type about struct {
	SecretID  text `json:"secretId"`
	ARN       text `json:"arn"`
	Name      text `json:"name"`
	VersionID text `json:"versionId"`
	Token     text `json:"clientRequestToken"`
}

type identity struct {
	Type      text `json:"type"`
	ARN       text `json:"arn"`
	Account   text `json:"accountId"`
	InvokedBy text `json:"invokedBy"`
	Session   struct {
		Issuer struct {
			ARN text `json:"arn"`
		} `json:"sessionIssuer"`
	} `json:"sessionContext"`
}

type request struct {
	about
	VersionStages lenient[[]string] `json:"versionStages"`
	VersionStage  text              `json:"versionStage"`
	MoveTo        text              `json:"moveToVersionId"`
	RemoveFrom    text              `json:"removeFromVersionId"`
	Function      text              `json:"rotationLambdaARN"`
	Forced        lenient[bool]     `json:"forceDeleteWithoutRecovery"`
}

func (env envelope) readRecord(e *Event) error {
	var r record
	if err := unmarshal(env.Detail, &r); err != nil {
		return err
	}
	// The envelope's id is another for each delivery of a rule; CloudTrail's is the occurrence's.
	e.ID = string(first(r.EventID, env.ID))
	e.Account, e.Region = string(first(env.Account, r.Recipient)), string(first(env.Region, r.Region))
	if err := e.setTime(string(r.EventTime)); err != nil {
		return err
	}
	e.By = r.principal()
	e.Refusal, e.Message = string(r.ErrorCode), string(r.ErrorMessage)
	// An ARN that AWS gave names one secret; what the caller typed may be a name.
	err := e.setSecret(r.Additional.SecretID, r.Additional.ARN, r.Service.SecretID, r.Service.ARN, r.resource(),
		r.Response.ARN, r.Request.SecretID, r.Additional.Name, r.Service.Name, rotationOf(r.RequestID).secret)
	if err != nil {
		return err
	}
	e.Version = string(first(r.Additional.VersionID, r.Additional.Token, r.Service.VersionID, r.Service.Token,
		r.Request.MoveTo, r.Request.VersionID, r.Request.Token, rotationOf(r.RequestID).token(e.Secret)))
	e.From = string(r.Request.RemoveFrom)
	e.Forced = r.Request.Forced.is
	e.Function = string(r.Request.Function)
	e.Labels = r.labels(e.Kind)
	if e.Kind == RotationFailed || e.Kind == TestRotationFailed {
		if m := failure().FindStringSubmatch(e.Message); m != nil {
			e.Function, e.Step = m[1], m[2]
		}
		e.Refusal = "" // it is no call
	}
	return nil
}

// resource returns the secret among the resources: a call may touch a KMS key as well.
func (r record) resource() text {
	for _, a := range r.Resources.is {
		if secretARN().MatchString(string(a.ARN)) {
			return a.ARN
		}
	}
	return ""
}

func first(texts ...text) text {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}

// labels returns the labels that a call moves.
func (r record) labels(k Kind) []string {
	switch {
	case k == UpdateSecretVersionStage && r.Request.VersionStage != "":
		return []string{string(r.Request.VersionStage)}
	case k == PutSecretValue && len(r.Request.VersionStages.is) == 0:
		return []string{"AWSCURRENT"}
	case k == PutSecretValue:
		return r.Request.VersionStages.is
	}
	return nil
}

// failure is the form of the message that the documentation shows.
var failure = lazily(`executing lambda (arn:aws[a-z-]*:lambda:[a-z0-9-]+:[0-9]{12}:function:[A-Za-z0-9_:$-]+) during (createSecret|setSecret|testSecret|finishSecret) step`)

// assumed is the ARN of a role's session. It lacks the role's path.
var assumed = lazily(`^arn:(aws[a-z-]*):sts::([0-9]{12}):assumed-role/([^/]+)/(.+)$`)

func (r record) principal() Principal {
	p := Principal{
		ARN: string(r.Identity.ARN), Account: string(r.Identity.Account), Service: string(r.Identity.InvokedBy),
		Address: string(r.SourceAddress), Role: string(r.Identity.Session.Issuer.ARN),
	}
	m := assumed().FindStringSubmatch(p.ARN)
	if m == nil {
		p.Role = ""
		return p
	}
	p.Session = m[4]
	if p.Role == "" {
		p.Role = fmt.Sprintf("arn:%s:iam::%s:role/%s", m[1], m[2], m[3])
	}
	return p
}

// rotation is a request id of the form Rotation-<ARN>-<token>.
type rotation struct{ rest, secret text }

// rotationID finds where the ARN ends. Its last six characters are Secrets Manager's; the token has 32 to 64.
var rotationID = lazily(`^(arn:[^ ]+-[A-Za-z0-9]{6})-[A-Za-z0-9-]{32,64}$`)

func rotationOf(id text) rotation {
	rest, ok := strings.CutPrefix(string(id), "Rotation-")
	if !ok {
		return rotation{}
	}
	r := rotation{rest: text(rest)}
	if m := rotationID().FindStringSubmatch(rest); m != nil {
		r.secret = text(m[1])
	}
	return r
}

// token returns what follows the secret's ARN.
func (r rotation) token(secret SecretID) text {
	token, ok := strings.CutPrefix(string(r.rest), secret.String()+"-")
	if !ok || len(token) < 32 || len(token) > 64 {
		return ""
	}
	return text(token)
}
