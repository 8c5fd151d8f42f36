package cloudtrail

import (
	"crypto/sha256"
	"encoding/base32"
	"strings"
	"time"

	"github.com/keytrail/keytrail/deploy/lab/wire"
)

// identity is who did it.
// https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference-user-identity.html
type identity struct {
	Type        string   `json:"type,omitempty"`
	PrincipalID string   `json:"principalId,omitempty"`
	ARN         string   `json:"arn,omitempty"`
	AccountID   string   `json:"accountId,omitempty"`
	AccessKeyID string   `json:"accessKeyId,omitempty"`
	UserName    string   `json:"userName,omitempty"`
	Session     *session `json:"sessionContext,omitempty"`
	InvokedBy   string   `json:"invokedBy,omitempty"`
}

type session struct {
	Issuer     issuer            `json:"sessionIssuer"`
	Attributes sessionAttributes `json:"attributes"`
}

type issuer struct {
	Type        string `json:"type"`
	PrincipalID string `json:"principalId"`
	ARN         string `json:"arn"`
	AccountID   string `json:"accountId"`
	UserName    string `json:"userName"`
}

type sessionAttributes struct {
	CreationDate string `json:"creationDate"`
	MFA          string `json:"mfaAuthenticated"`
}

// identify describes a caller: a user, the root of the account, or a session
// of a role, as functions have one.
func identify(caller wire.Identity, now time.Time) identity {
	p := strings.SplitN(caller.ARN, ":", 6)
	if len(p) < 6 {
		return identity{Type: "Unknown", AccessKeyID: caller.AccessKeyID}
	}
	account, name := p[4], p[5]
	i := identity{ARN: caller.ARN, AccountID: account, AccessKeyID: caller.AccessKeyID}
	role, assumed := strings.CutPrefix(name, "assumed-role/")
	switch {
	case assumed:
		role, sessionName, _ := strings.Cut(role, "/")
		id := uniqueID("AROA", account+"/"+role)
		i.Type, i.PrincipalID = "AssumedRole", id+":"+sessionName
		i.Session = &session{
			Issuer:     issuer{Type: "Role", PrincipalID: id, ARN: "arn:aws:iam::" + account + ":role/" + role, AccountID: account, UserName: role},
			Attributes: sessionAttributes{CreationDate: now.UTC().Truncate(time.Hour).Format("2006-01-02T15:04:05Z"), MFA: "false"},
		}
	case name == "root":
		i.Type, i.PrincipalID = "Root", account
	default:
		i.Type, i.PrincipalID = "IAMUser", uniqueID("AIDA", caller.ARN)
		i.UserName = name[strings.LastIndexByte(name, '/')+1:]
	}
	return i
}

// userName is who LookupEvents says it was.
func (i identity) userName() string {
	switch i.Type {
	case "AssumedRole":
		return i.ARN[strings.LastIndexByte(i.ARN, '/')+1:]
	case "Root":
		return "root"
	default:
		return i.UserName
	}
}

// uniqueID makes up the id that IAM gives to a user or role.
func uniqueID(prefix, name string) string {
	sum := sha256.Sum256([]byte(name))
	return prefix + base32.StdEncoding.EncodeToString(sum[:])[:17]
}
