package report

import "slices"

// Control is one thing that has to be so. The table below is the only place that says what is tested.
type Control struct {
	ID       string    `json:"id"` // KT-1: stable
	Title    string    `json:"title"`
	Why      string    `json:"why"`
	Test     string    `json:"test"` // how it was tested
	Mend     string    `json:"mend"`
	Severity Severity  `json:"severity"` // of a finding, as a rule
	Mappings []Mapping `json:"mappings"`
	// strict: what broke it in the period fails it, mended or not.
	strict bool
}

// Mapping is a requirement of somebody else that a control serves.
type Mapping struct {
	Framework   string `json:"framework"`
	Requirement string `json:"requirement"`
	// Source is who says so. Ours: nobody but us.
	Source string `json:"source"`
}

// Ours is the source of a mapping that nobody else gives.
const Ours = "our mapping"

// The frameworks.
const (
	nist = "NIST SP 800-53 r5"
	pci  = "PCI DSS 4.0.1"
	iso  = "ISO/IEC 27001:2022"
	soc  = "SOC 2"
	ir   = "NIST IR 7966"
)

// ssh is what NIST IR 7966 is about. Its section numbers are not given: no source for them is at hand.
const ssh = "SSH user key management, in general"

// hub is what AWS Security Hub maps its own control on the rotation of secrets to.
func hub(control string) []Mapping {
	source := "AWS Security Hub, " + control
	return []Mapping{{nist, "AC-2(1)", source}, {nist, "AC-3(15)", source}, {pci, "8.3.9", source}, {pci, "8.6.3", source}}
}

// ours gives pairs of framework and requirement.
func ours(pairs ...string) []Mapping {
	var out []Mapping
	for pair := range slices.Chunk(pairs, 2) {
		out = append(out, Mapping{pair[0], pair[1], Ours})
	}
	return append(out, Mapping{ir, ssh, Ours})
}

// The ids, for the tests that break them.
const (
	rotationOn = iota
	keyAge
	lastRotation
	noneStuck
	currentKey
	noRetired
	noForeign
	honoured
	keyType
	verifiable
	verifiedAfter
	onlyRotation
	readers
	ownKMSKey
	otherWays
	alertPath
	controlCount
)

var controls = [controlCount]Control{
	rotationOn: {
		ID: "KT-1", Title: "Rotation is on", Severity: High,
		Why:      "A key that nobody replaces stays good for whoever once copied it.",
		Test:     "Each verification read from Secrets Manager that rotation is enabled and that its function is Keytrail's.",
		Mend:     "Switch rotation on with Keytrail's function, and give it a rule.",
		Mappings: append(hub("SecretsManager.1"), ours(nist, "IA-5(f)", iso, "5.17", iso, "8.24", soc, "CC6.1")...),
	},
	keyAge: {
		ID: "KT-2", Title: "The key is within its maximum age", Severity: High, strict: true,
		Why:      "The limit is what was promised to an auditor. A rule that is not kept is no rule.",
		Test:     "At each verification, the time since the live key was made was compared with the limit: the one asked for, or else the secret's own rule and a day for its rotation window.",
		Mend:     "Rotate now, then look at why the scheduled rotation did not run.",
		Mappings: append(hub("SecretsManager.4"), ours(nist, "IA-5(f)", nist, "SC-12", iso, "5.17", soc, "CC6.1")...),
	},
	lastRotation: {
		ID: "KT-3", Title: "The last rotation succeeded", Severity: High,
		Why:      "A rotation that fails leaves the old key in force, and may leave the new one on some hosts.",
		Test:     "How the last rotation up to the end of the period ended, by the event of Secrets Manager or by what hosts and labels show.",
		Mend:     "Mend what the failure names and rotate again.",
		Mappings: append(hub("SecretsManager.2"), ours(nist, "IA-5(f)", iso, "8.24", soc, "CC7.4")...),
	},
	noneStuck: {
		ID: "KT-4", Title: "No rotation is stuck", Severity: High,
		Why:      "A version that keeps AWSPENDING makes Secrets Manager go on with it, or refuse to rotate.",
		Test:     "No verification saw AWSPENDING on a version that was not current for more than a day.",
		Mend:     "Unblock the secret: take the label off, take the key away where it already is, rotate.",
		Mappings: ours(nist, "IA-5(f)", nist, "SC-12", iso, "8.24", soc, "CC7.4"),
	},
	currentKey: {
		ID: "KT-5", Title: "The current key is on every host", Severity: Critical,
		Why:      "Whoever should log in is locked out where it is missing, and will look for another way.",
		Test:     "Each host and account that was expected was read at each verification; a secret without hosts fails.",
		Mend:     "Reconcile: it puts the key back. If it goes missing again, find what rewrites the file.",
		Mappings: ours(nist, "AC-3", nist, "CM-6", iso, "5.18", soc, "CC6.1", soc, "CC6.2"),
	},
	noRetired: {
		ID: "KT-6", Title: "No host trusts a retired key", Severity: Critical,
		Why:      "A rotation that leaves the old key in place has changed nothing for whoever copied it.",
		Test:     "Every file that sshd reads for an account was searched for every key the secret ever had that is retired.",
		Mend:     "Reconcile: it takes the key away once the host has the live one.",
		Mappings: ours(nist, "IA-5(f)", nist, "AC-2(1)", pci, "8.6.3", iso, "5.17", iso, "5.18", soc, "CC6.2", soc, "CC6.3"),
	},
	noForeign: {
		ID: "KT-7", Title: "No host trusts a key that nobody agreed to", Severity: High,
		Why:      "A key that no register knows opens the account for somebody whom nobody can name.",
		Test:     "Every key in a file that sshd reads was matched with the register, and what is left with the exceptions that were valid at that time.",
		Mend:     "Find its owner. Remove the line by hand, or agree to an exception with an owner, a reason and an expiry.",
		Mappings: ours(nist, "AC-2(4)", nist, "AC-3", pci, "8.6.3", iso, "5.15", iso, "5.18", soc, "CC6.3", soc, "CC7.1"),
	},
	honoured: {
		ID: "KT-8", Title: "sshd honours the key", Severity: Critical,
		Why:      "A key in a file that sshd refuses opens nothing; owner, mode or settings are not what they should be.",
		Test:     "Settings of sshd, and owner and mode of each file and folder above it, were judged as sshd judges them.",
		Mend:     "Mend owner and mode as the reason says, then verify again.",
		Mappings: ours(nist, "CM-6", nist, "AC-3", iso, "8.5", soc, "CC6.1"),
	},
	keyType: {
		ID: "KT-9", Title: "The key is of a strong type and size", Severity: High,
		Why:      "A weak key can be found without anybody handing it over.",
		Test:     "The registered live key is ed25519, ECDSA of at least 256 bits or RSA of at least 2,048.",
		Mend:     "Set KEYTRAIL_KEY_TYPE and rotate.",
		Mappings: ours(nist, "SC-12", pci, "8.3.2", iso, "8.24", soc, "CC6.1"),
	},
	verifiable: {
		ID: "KT-10", Title: "Every host could be verified", Severity: Medium,
		Why:      "Nothing is known of a host that never answers: a retired key may still open it.",
		Test:     "Each host that was expected gave at least one definite answer for every account in the period.",
		Mend:     "Bring the SSM agent of the host back, or take the host out of the fleet, then verify.",
		Mappings: ours(nist, "CM-8", nist, "AU-6(1)", iso, "8.16", soc, "CC7.1"),
	},
	verifiedAfter: {
		ID: "KT-11", Title: "Each rotation was verified in time", Severity: High, strict: true,
		Why:      "Until the hosts were read, a rotation is a claim.",
		Test:     "After each rotation that succeeded, a verification within the time found every account of every host as it should be.",
		Mend:     "Look at the queue and the log of the events function, and at the hosts that held the verification up.",
		Mappings: ours(nist, "AU-6(1)", nist, "CM-6", iso, "8.16", soc, "CC7.1", soc, "CC7.2"),
	},
	onlyRotation: {
		ID: "KT-12", Title: "Only the rotation function changed the secret", Severity: High, strict: true,
		Why:      "Whoever puts a value knows its private key; whoever sets the function or the policy gets all that follow.",
		Test:     "No event told that somebody else changed value, label, function or policy or deleted the secret, and no verification found a value that was put by hand.",
		Mend:     "Ask who did it and why. If nobody can say, hold the secret, investigate, rotate.",
		Mappings: ours(nist, "AC-2(4)", nist, "AU-12(a)", pci, "8.6.3", iso, "8.15", iso, "8.2", soc, "CC6.1", soc, "CC8.1"),
	},
	readers: {
		ID: "KT-13", Title: "Only allowed principals read the private key", Severity: Critical, strict: true,
		Why:      "Whoever read it can log in to every host of the secret until it is rotated.",
		Test:     "Every read of the secret that CloudTrail told of was compared with KEYTRAIL_READERS.",
		Mend:     "Rotate unless somebody can vouch for the read; allow the principal if it was meant.",
		Mappings: ours(nist, "AC-3", nist, "AC-2(4)", pci, "10.2.1", iso, "5.15", iso, "8.2", soc, "CC6.1", soc, "CC7.2"),
	},
	ownKMSKey: {
		ID: "KT-14", Title: "The secret is encrypted by a customer-managed KMS key", Severity: Medium,
		Why:      "Only the policy of a key of one's own can say who may decrypt.",
		Test:     "Each verification read the KMS key of the secret; none, or aws/secretsmanager, fails.",
		Mend:     "Update the secret with a key of your own and let rotate use it.",
		Mappings: ours(nist, "SC-12", iso, "8.24", soc, "CC6.1"),
	},
	otherWays: {
		ID: "KT-15", Title: "Other ways in are known", Severity: Medium,
		Why:      "A command or a certificate authority lets in whom no file names: what the files say is then not all.",
		Test:     "Settings of sshd and lines of key files were searched for AuthorizedKeysCommand, TrustedUserCAKeys and cert-authority, and the accounts that nobody looked at were counted.",
		Mend:     "Take the other way out, or audit whoever issues keys or certificates there.",
		Mappings: ours(nist, "AC-3", nist, "CM-6", iso, "8.5", soc, "CC6.1", soc, "CC6.6"),
	},
	alertPath: {
		ID: "KT-16", Title: "The path of alerts is alive", Severity: Medium, strict: true,
		Why:      "Silence means that all is well only where a message would have come.",
		Test:     "Each rotation that hosts and labels show was told of by its event as well. Whether a person read a message is not tested.",
		Mend:     "Look at the trail, the EventBridge rules and the dead letters.",
		Mappings: ours(nist, "AU-6(1)", nist, "AU-12(a)", pci, "10.4.1.1", iso, "8.15", iso, "8.16", soc, "CC7.2", soc, "CC7.3"),
	},
}

// Controls returns the table, KT-1 first.
func Controls() []Control { return slices.Clone(controls[:]) }
