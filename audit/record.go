package audit

import (
	"slices"

	"github.com/keytrail/keytrail/audit/evidence"
	"github.com/keytrail/keytrail/rotate/fleet"
	"github.com/keytrail/keytrail/rotate/sshkey"
)

// Record is the verdict as evidence has it, with what Secrets Manager said of the secret. function is the ARN of
// the rotation function that is ours.
func (v Verdict) Record(s Secret, function string) evidence.Record {
	coverage := v.Coverage()
	out := evidence.Verification{
		Clean: v.Clean(), Coverage: evidence.Coverage{Expected: coverage.Expected, Seen: coverage.Seen},
		Fingerprint: string(v.Fingerprint), Gone: v.Gone, Held: v.Held, Unregistered: v.Unregistered, Version: v.Version,
		Settings: evidence.Settings{
			Days: s.Days, Deleted: s.Deleted.UTC(), Function: s.Function, KMSKey: s.KMSKey, Next: s.Next.UTC(),
			Ours: s.Function != "" && s.Function == function, Rotated: s.Rotated.UTC(), Rotates: s.Rotates, Schedule: s.Schedule,
		},
	}
	if pending := s.Version("AWSPENDING"); pending != s.Version("AWSCURRENT") {
		out.Settings.Pending = pending
	}
	for _, k := range v.Keys {
		out.Keys = append(out.Keys, evidence.Key{
			Bits: k.Bits, Created: k.Created.UTC(), Fingerprint: string(k.Fingerprint), Reason: string(k.Reason),
			Standing: k.Standing, Type: k.Type, Version: k.Version,
		})
	}
	for _, p := range v.Places {
		if n := len(out.Hosts); n == 0 || out.Hosts[n-1].ID != string(p.Host) {
			out.Hosts = append(out.Hosts, evidence.Host{ID: string(p.Host)})
		}
		host := &out.Hosts[len(out.Hosts)-1]
		host.Users = append(host.Users, p.record(&out.Commands))
	}
	return evidence.Record{Kind: evidence.Verified, At: v.At, Verification: &out}
}

// record is the place as evidence has it. Commands gets the id of the command that asked.
func (p Place) record(commands *[]string) evidence.User {
	u := evidence.User{
		Elsewhere: p.Elsewhere, Name: p.User, Reason: p.Reason, Retired: prints(p.Retired), Skipped: p.Skipped,
		State: string(p.State), Stray: p.Stray, Unlisted: p.Unlisted, Ways: p.Ways,
	}
	if p.CommandID != "" {
		if !slices.Contains(*commands, p.CommandID) {
			*commands = append(*commands, p.CommandID)
		}
		u.Command = 1 + slices.Index(*commands, p.CommandID)
	}
	for _, k := range p.Foreign {
		u.Foreign = append(u.Foreign, foreign(k))
	}
	return u
}

func foreign(k fleet.SeenKey) evidence.Foreign {
	return evidence.Foreign{
		Comment: k.Comment, Fingerprint: string(k.Fingerprint), Forged: k.Forged(), Line: k.Line, Options: k.Options,
		Path: k.Path, Type: k.Type,
	}
}

func prints(list []sshkey.Fingerprint) []string {
	var out []string
	for _, fp := range list {
		out = append(out, string(fp))
	}
	return out
}
