package alert

import "slices"

// ID names a condition: in messages, in filters of subscribers, and as the heading of its entry in the
// runbook (deploy/README.md).
type ID string

// Severity is how soon somebody should look.
type Severity string

const (
	// Critical: someone is or may be locked out, or a key that nobody should have opens a door.
	Critical Severity = "critical"
	// High: the next rotation will fail, or what is known of the secret can no longer be relied on.
	High Severity = "high"
	// Medium: look in working hours.
	Medium Severity = "medium"
	Low    Severity = "low"
	Info   Severity = "info"
)

// The conditions.
const (
	DriftMissing       ID = "drift-missing"
	DriftStale         ID = "drift-stale"
	DriftRefused       ID = "drift-refused"
	DriftNoUser        ID = "drift-nouser"
	DriftForged        ID = "drift-forged"
	ForeignKey         ID = "foreign-key"
	ForeignBaseline    ID = "foreign-baseline"
	Coverage           ID = "coverage"
	NoHosts            ID = "no-hosts"
	NotVerified        ID = "not-verified"
	RotationFailed     ID = "rotation-failed"
	RotationAbandoned  ID = "rotation-abandoned"
	RotationBlocked    ID = "rotation-blocked"
	RotationOverdue    ID = "rotation-overdue"
	RotationNeverEnded ID = "rotation-never-ended"
	RotationOff        ID = "rotation-off"
	FunctionChanged    ID = "function-changed"
	EventMissed        ID = "event-missed"
	GraceNotEnded      ID = "grace-not-ended"
	UnregisteredValue  ID = "unregistered-value"
	ValueChanged       ID = "value-changed"
	SecretDeleted      ID = "secret-deleted"
	PolicyChanged      ID = "policy-changed"
	TagsChanged        ID = "tags-changed"
	PrivateKeyRead     ID = "private-key-read"
	HealDone           ID = "heal-done"
	HealFailed         ID = "heal-failed"
	RotationSucceeded  ID = "rotation-succeeded"
)

// Condition is what people are told of a kind of problem. In What, Means and Run a word in braces stands
// for what the problem tells: see words.
type Condition struct {
	ID       ID
	Severity Severity
	// Once: it is an occurrence and not a state, so that no later look can find it over. It is said when it
	// happens and, when it goes on happening, once in each repeat interval.
	Once  bool
	Title string // a few words, for subjects
	What  string // one sentence: what happened
	Means string // what that means for the reader
	Steps []Step
}

// Step is one thing to do.
type Step struct {
	Do  string
	Run string // a command, where one does it
}

// Commands that several conditions need.
const (
	invoke    = `aws lambda invoke --region {region} --function-name {rotate}:reconcile --cli-binary-format raw-in-base64-out --payload `
	compare   = invoke + `'{"Action":"reconcile","SecretId":"{arn}","DryRun":true}' /dev/stdout`
	reconcile = invoke + `'{"Action":"reconcile","SecretId":"{arn}"}' /dev/stdout`
	adopt     = invoke + `'{"Action":"adopt","SecretId":"{arn}"}' /dev/stdout`
	revoke    = invoke + `'{"Action":"revoke","SecretId":"{arn}","Fingerprint":"{fingerprint}"}' /dev/stdout`
	abandon   = invoke + `'{"Action":"reconcile","SecretId":"{arn}","Abandoned":"{version}"}' /dev/stdout`
	rotate    = `aws secretsmanager rotate-secret --region {region} --secret-id {arn}`
	describe  = `aws secretsmanager describe-secret --region {region} --secret-id {arn}`
	hold      = `aws secretsmanager tag-resource --region {region} --secret-id {arn} --tags Key=keytrail:hold,Value=investigating`
	unhold    = `aws secretsmanager untag-resource --region {region} --secret-id {arn} --tag-keys keytrail:hold`
	output    = `aws ssm get-command-invocation --region {region} --command-id {command} --instance-id {host}`
	event     = `aws cloudtrail lookup-events --region {region} --lookup-attributes AttributeKey=EventId,AttributeValue={event}`
)

// conditions is the one table. Each has an entry of its own in the runbook.
var conditions = [...]Condition{
	{
		ID: DriftMissing, Severity: Critical, Title: "live key missing",
		What:  "The live key of {secret} is missing on {hosts}.",
		Means: "Whoever logs in with this secret is locked out of these accounts, unless another key opens them.",
		Steps: []Step{
			{"Put the key back. Nothing else in the files is touched.", reconcile},
			{"If it goes missing again, find what rewrites the file on {host}: configuration management or an image.", ""},
		},
	},
	{
		ID: DriftStale, Severity: Critical, Title: "retired key still trusted",
		What:  "A retired key of {secret} is still trusted on {hosts}.",
		Means: "Whoever kept an old copy of the private key can still log in to these accounts.",
		Steps: []Step{
			{"Take it away. A host that does not have the live key yet gets that first.", reconcile},
			{"If it comes back, somebody or something puts it there: look at who changed the file on {host}.", ""},
		},
	},
	{
		ID: DriftRefused, Severity: Critical, Title: "sshd refuses the live key",
		What:  "The live key of {secret} is in place on {hosts}, but sshd would not honour it.",
		Means: "Whoever logs in with this secret is locked out of these accounts. Mostly a home, .ssh or the key file is writable by others or has another owner, or sshd's settings changed.",
		Steps: []Step{
			{"Read the reason beside each host, and mend owner or mode there. For example:", `aws ssm start-session --region {region} --target {host}`},
			{"Then look again.", compare},
		},
	},
	{
		ID: DriftNoUser, Severity: High, Title: "account missing",
		What:  "An account that should have the key of {secret} does not exist on {hosts}.",
		Means: "Nobody can log in there under that name, and the next rotation will fail on these hosts unless KEYTRAIL_MISSING_USER is skip.",
		Steps: []Step{
			{"Create the account on the host, or take it out of the secret's tag keytrail:users.", describe},
			{"Then roll the key out.", reconcile},
		},
	},
	{
		ID: DriftForged, Severity: Critical, Title: "forged key",
		What:  "A key that claims to come from Keytrail, and does not, is trusted on {hosts}.",
		Means: "Someone who can write the file on the host dressed a key up as one of {secret}. Whoever has its private half can log in. Treat it as an intrusion until you know better.",
		Steps: []Step{
			{"Stop every change while you investigate.", hold},
			{"Find who wrote the file on {host} and when, then remove the line by hand: Keytrail never touches keys that are not its own.", `aws ssm start-session --region {region} --target {host}`},
			{"Look again,", compare},
			{"and when all is well let changes go on.", unhold},
		},
	},
	{
		ID: ForeignKey, Severity: High, Title: "unknown key trusted",
		What:  "A key that nobody registered is trusted on {hosts}, beside the key of {secret}.",
		Means: "Whoever has its private half can log in to these accounts. It may be a colleague's own key; it may be an intruder's.",
		Steps: []Step{
			{"Ask whose key {fingerprint} is. If nobody's, remove its line on {host} by hand: Keytrail never touches foreign keys.", `aws ssm start-session --region {region} --target {host}`},
			{"If it is wanted, somebody has to answer for it in the list of exceptions, with a reason and an end.", `keytrail exceptions add {fingerprint}`},
		},
	},
	{
		ID: ForeignBaseline, Severity: Info, Title: "keys that were there before",
		What:  "The first look found keys that nobody registered on {hosts}, beside the key of {secret}.",
		Means: "They were there before Keytrail was, and nobody said yet whose they are. Whoever has their private halves can log in. Any further unknown key is told of as a stranger's.",
		Steps: []Step{
			{"Go through them, remove by hand what nobody needs, and put the rest into the list of exceptions, each with an owner, a reason and an end.", `keytrail exceptions accept-baseline`},
		},
	},
	{
		ID: Coverage, Severity: Medium, Title: "hosts could not be checked",
		What:  "The keys of {secret} could not be checked on {hosts}.",
		Means: "Nothing is known to be wrong there, and nothing is known to be right. A retired key may still open these hosts.",
		Steps: []Step{
			{"See whether the SSM agent of the hosts is online.", `aws ssm describe-instance-information --region {region} --filters Key=InstanceIds,Values={host}`},
			{"A host that no longer exists leaves this list when it is terminated; one that is meant to be off may be told so by KEYTRAIL_MAX_OFFLINE.", ""},
			{"Once they are back, bring them up to date.", reconcile},
		},
	},
	{
		ID: NoHosts, Severity: High, Title: "no hosts",
		What:  "No host has the tags that {secret} is for.",
		Means: "There is nothing to verify, and the next rotation will fail. Either the tag on the hosts is gone, or the secret's tag keytrail:target names what no host has.",
		Steps: []Step{
			{"Look at the secret's tags.", describe},
			{"Look at the hosts that SSM knows.", `aws ssm describe-instance-information --region {region}`},
		},
	},
	{
		ID: NotVerified, Severity: High, Title: "hosts were not asked",
		What:  "The hosts of {secret} could not be asked at all.",
		Means: "Keytrail is blind for this secret until this is mended. Nothing is known of its keys since the last report.",
		Steps: []Step{
			{"Read the reason: mostly the events function lacks a right, or SSM is throttling.", ""},
			{"See the function's log for the time of this message.", ""},
		},
	},
	{
		ID: RotationFailed, Severity: High, Title: "rotation failed",
		What:  "The rotation of {secret} failed in {step}.",
		Means: "The key from before is still the live one, and logins go on. Some hosts may already trust the new key as well.",
		Steps: []Step{
			{"Mend what stood in the way. Secrets Manager tries again by itself while the rotation window is open; this asks for it now.", rotate},
			{"Or give the new key up, and take it away where it already is.", abandon},
		},
	},
	{
		ID: RotationAbandoned, Severity: High, Title: "rotation abandoned",
		What:  "Secrets Manager gave the rotation of {secret} up.",
		Means: "The key from before is still the live one, and logins go on. Mostly somebody put a new value while it ran: whoever did knows the private key of that value.",
		Steps: []Step{
			{"See which version is current now, and who made it.", describe},
			{"Take the abandoned key away where it already is.", abandon},
			{"Then rotate.", rotate},
		},
	},
	{
		ID: RotationBlocked, Severity: High, Title: "next rotation blocked",
		What:  "A version of {secret} that is not the current one still has the label AWSPENDING.",
		Means: "Secrets Manager will go on with that version in place of a new one, or refuse to rotate. The live key is untouched.",
		Steps: []Step{
			{"Take the label off.", `aws secretsmanager update-secret-version-stage --region {region} --secret-id {arn} --version-stage AWSPENDING --remove-from-version-id {version}`},
			{"Take its key away where it already is.", abandon},
			{"Rotate.", rotate},
		},
	},
	{
		ID: RotationOverdue, Severity: High, Title: "rotation overdue",
		What:  "{secret} should have been rotated by now, and was not.",
		Means: "The live key is older than the secret's own rule allows. Logins go on.",
		Steps: []Step{
			{"Rotate now.", rotate},
			{"If that is refused, look at NextRotationDate and the function.", describe},
		},
	},
	{
		ID: RotationNeverEnded, Severity: High, Title: "rotation never ended",
		What:  "A rotation of {secret} started, and neither success nor failure was told.",
		Means: "It may hang, or its last event got lost. What the hosts trust was looked at; if that is not as it should be, another alert says so.",
		Steps: []Step{
			{"See which version has AWSPENDING and which AWSCURRENT.", describe},
			{"If they differ, ask again: Secrets Manager then goes on with that rotation.", rotate},
		},
	},
	{
		ID: RotationOff, Severity: High, Title: "rotation switched off",
		What:  "Rotation of {secret} was switched off by {who}.",
		Means: "The live key will grow old until rotation is on again.",
		Steps: []Step{
			{"Ask whether it was meant. If not, switch it on again; that also rotates at once.", rotate + ` --rotation-lambda-arn {function}`},
		},
	},
	{
		ID: FunctionChanged, Severity: High, Title: "rotation function changed",
		What:  "Another function rotates {secret} now. It was set by {who}.",
		Means: "The function that rotates a secret gets its private keys. Keytrail does not know this one, and neither rolls out nor retires what it makes.",
		Steps: []Step{
			{"Ask whether it was meant. If not, set Keytrail's function again without rotating.", rotate + ` --rotation-lambda-arn <rotate-function-arn> --no-rotate-immediately`},
			{"If the function is not yours, treat the live key as known to others: rotate.", rotate},
		},
	},
	{
		ID: EventMissed, Severity: Medium, Once: true, Title: "rotation without an event",
		What:  "{secret} was rotated, and no event told of it.",
		Means: "The sweep found it and has verified the hosts. If it happens often, CloudTrail or the EventBridge rule is not delivering.",
		Steps: []Step{
			{"See that the rule is enabled and has not failed.", `aws events list-rules --region {region}`},
			{"See that a trail is logging.", `aws cloudtrail describe-trails --region {region}`},
		},
	},
	{
		ID: GraceNotEnded, Severity: High, Title: "grace period did not end",
		What:  "The grace period of the previous key of {secret} is over, and the key could not be retired.",
		Means: "Whoever has the previous private key can still log in.",
		Steps: []Step{
			{"Retire it now, and read the answer.", reconcile},
		},
	},
	{
		ID: UnregisteredValue, Severity: High, Title: "value put by hand",
		What:  "The current value of {secret} was put by hand, and nobody has adopted it.",
		Means: "Nothing of it is rolled out: hosts trust the key from before. Whoever reads the secret gets a key that may open nothing.",
		Steps: []Step{
			{"If you trust the value, adopt it,", adopt},
			{"and roll it out.", reconcile},
			{"If you do not, rotate: a new key takes its place.", rotate},
		},
	},
	{
		ID: ValueChanged, Severity: High, Once: true, Title: "value or label changed",
		What:  "{who} changed the value or a label of {secret}.",
		Means: "Only the rotation function should do that. Whoever put a value knows its private key.",
		Steps: []Step{
			{"Ask whether it was meant, and look at the call.", event},
			{"If not, stop every change while you investigate,", hold},
			{"and see which version has which label.", describe},
			{"Once it is clear what happened, let changes go on.", unhold},
		},
	},
	{
		ID: SecretDeleted, Severity: Critical, Title: "secret deleted",
		What:  "{secret} was scheduled for deletion by {who}.",
		Means: "Nobody can read the private key any more, and after the recovery window it is gone for good. Hosts still trust the public half.",
		Steps: []Step{
			{"If it was not meant, restore it while that is possible.", `aws secretsmanager restore-secret --region {region} --secret-id {arn}`},
			{"If it was, nobody should need the key: find who still uses it before it is gone.", ""},
		},
	},
	{
		ID: PolicyChanged, Severity: High, Once: true, Title: "resource policy changed",
		What:  "{who} changed the resource policy of {secret}.",
		Means: "A resource policy can let others read the private key, from other accounts too.",
		Steps: []Step{
			{"Read who may do what now.", `aws secretsmanager get-resource-policy --region {region} --secret-id {arn}`},
			{"Look at the call.", event},
		},
	},
	{
		ID: TagsChanged, Severity: Medium, Once: true, Title: "tags changed",
		What:  "{who} changed the tags of {secret}.",
		Means: "Tags decide on which hosts and for which users the key is rolled out, within the boundary of the stack, and may give people rights.",
		Steps: []Step{
			{"See what they are now.", describe},
			{"See what would change on hosts.", compare},
		},
	},
	{
		ID: PrivateKeyRead, Severity: Critical, Once: true, Title: "private key read",
		What:  "{who} read the private key of {secret}, and is not among KEYTRAIL_READERS.",
		Means: "The key may be known to somebody who should not have it, and it opens every host of this secret.",
		Steps: []Step{
			{"If nobody can vouch for it, rotate now: that retires the old key on all hosts.", rotate},
			{"Look at the call, and ask whoever made it.", event},
			{"If it was meant, add the principal to KEYTRAIL_READERS.", ""},
		},
	},
	{
		ID: HealDone, Severity: Info, Once: true, Title: "drift mended",
		What:  "Keytrail mended the keys of {secret} on {hosts}.",
		Means: "The accounts are as they should be again. What changed them is not known.",
		Steps: []Step{{"If it happens again on the same host, find what rewrites the file there.", ""}},
	},
	{
		ID: HealFailed, Severity: High, Title: "drift could not be mended",
		What:  "Keytrail tried to mend the keys of {secret} on {hosts}, and could not.",
		Means: "What the other alert about this secret says still stands, and will not go away by itself.",
		Steps: []Step{
			{"Read the reason, and what the host answered.", output},
			{"Then try again.", reconcile},
		},
	},
	{
		ID: RotationSucceeded, Severity: Info, Once: true, Title: "rotated and proven",
		What:  "{secret} was rotated, and every host was seen to trust the new key and no older one.",
		Means: "There is nothing to do.",
	},
}

// Conditions returns the table, in its order.
func Conditions() []Condition { return slices.Clone(conditions[:]) }

// Lookup returns a condition.
func Lookup(id ID) (Condition, bool) {
	i := slices.IndexFunc(conditions[:], func(c Condition) bool { return c.ID == id })
	if i < 0 {
		return Condition{}, false
	}
	return conditions[i], true
}
