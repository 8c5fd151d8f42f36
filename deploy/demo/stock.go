package main

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/keytrail/keytrail/rotate/fleet"
	"github.com/keytrail/keytrail/rotate/sshkey"
)

// takeStock shows what is so for every account, asked anew, and claims that it
// is as it should be.
func (d *demo) takeStock(ctx context.Context) error {
	d.screen.status("inspecting")
	observed, err := d.inspect(ctx)
	if err != nil {
		return err
	}
	files, err := d.files()
	if err != nil {
		return err
	}
	// With the other client: the two have no code in common.
	withLive, err := d.logIn(ctx, library{}, d.live(), d.accounts())
	if err != nil {
		return err
	}
	withOld, err := d.logIn(ctx, library{}, d.keys[len(d.keys)-2], d.accounts())
	if err != nil {
		return err
	}
	rows := make([]row, len(withLive))
	for i, t := range withLive {
		rows[i] = d.newRow(t.account, files, observed[t.account.host+" "+t.account.user])
		rows[i].live, rows[i].old = t.outcome, withOld[i].outcome
	}
	d.screen.show(tableOf(d.fleet, rows, d.screen.width() >= wide))
	d.screen.blank()

	var notOK, untrusted, miscounted []string
	for _, r := range rows {
		if r.state != fleet.OK {
			notOK = append(notOK, fmt.Sprintf("%s is %s: %s", r.account, r.state, r.reason))
		}
		if len(r.trusted) != 1 || r.trusted[0] != string(d.live().Public().Fingerprint()) {
			untrusted = append(untrusted, fmt.Sprintf("%s trusts %v", r.account, r.trusted))
		}
		if r.foreign != r.seen {
			miscounted = append(miscounted, fmt.Sprintf("%s: %d foreign keys in the files, %d reported", r.account, r.foreign, r.seen))
		}
	}
	d.claims.claim(fmt.Sprintf("the inspection finds all %d accounts ok", len(rows)), notOK...)
	d.claims.claim("each account trusts the live key and no other one of this secret", untrusted...)
	d.claims.claim("every foreign key that stands in a file was reported", miscounted...)
	d.claims.claim("every account lets the live key in", expect(accepted, withLive)...)
	d.claims.claim("no account lets the previous key in", expect(refused, withOld)...)
	leaks, err := d.findPrivateKeys(d.keys)
	if err != nil {
		return err
	}
	d.claims.claim("below the lab's folder the private keys stand in the secret store alone", leaks...)
	return nil
}

// row is what is known of one account.
type row struct {
	account account
	state   fleet.State
	reason  string
	files   []string // that sshd reads, by name
	trusted []string // fingerprints of keys that the function made
	foreign int      // other keys that stand in the files
	seen    int      // other keys that the host reported
	live    outcome
	old     outcome
}

func (d *demo) newRow(a account, files []keyFile, o fleet.Observation) row {
	r := row{account: a, state: o.State, reason: o.Reason, seen: o.Foreign}
	for _, f := range files {
		if f.host != a.host || f.user != a.user {
			continue
		}
		r.files = append(r.files, strings.TrimPrefix(f.path, "/home/"+a.user+"/.ssh/"))
		for _, k := range f.keys() {
			if d.ours[k] {
				r.trusted = append(r.trusted, k)
			} else {
				r.foreign++
			}
		}
	}
	return r
}

// inspect asks all hosts through Systems Manager, as an auditor would, and
// returns what they say by node id and user.
func (d *demo) inspect(ctx context.Context) (map[string]fleet.Observation, error) {
	all := func(hosts int) int { return hosts }
	document := fleet.DocumentRef{Name: fleet.ShellDocument}
	f := fleet.New(fleet.Config{
		Apply: document, Inspect: document, MaxConcurrency: all, MaxErrors: all,
		DeliveryTimeout: 30 * time.Second, ExecutionTimeout: 30 * time.Second,
	}, d.aws.systems)
	nodes, err := f.Nodes(ctx, fleet.Target{{Key: boundaryKey, Value: boundaryValue}})
	if err != nil {
		return nil, err
	}
	arn, err := d.aws.arn(ctx)
	if err != nil {
		return nil, err
	}
	order := fleet.Order{
		Action: fleet.Inspect, Scope: fleet.Scope(arn), Users: users,
		Install: []sshkey.PublicKey{d.live().Public().WithComment(secretName)},
	}
	for _, k := range d.keys[:len(d.keys)-1] {
		order.Retire = append(order.Retire, k.Public().Fingerprint())
	}
	observations, err := f.Run(ctx, nodes, order)
	if err != nil {
		return nil, err
	}
	by := map[string]fleet.Observation{}
	for _, o := range observations {
		by[string(o.Host)+" "+o.User] = o
	}
	return by, nil
}

// wide is a screen on which the table has room for the names of key files.
const wide = 120

// tableOf lays the rows out: key files by name, or else their number.
func tableOf(members []*member, rows []row, names bool) table {
	t := table{head: []column{
		{title: "host", least: 8}, {title: "name"}, {title: "kind"}, {title: "user"}, {title: "files"},
		{title: "state"}, {title: "trusts"}, {title: "foreign", right: true}, {title: "new"}, {title: "old"},
	}}
	last := ""
	for _, r := range rows {
		id, name, kind := r.account.host, r.account.name, ""
		for _, m := range members {
			if m.id() == id {
				kind = m.kind()
			}
		}
		if id == last {
			id, name, kind = "", "", ""
		}
		last = r.account.host
		trusts := make([]string, len(r.trusted))
		for i, k := range r.trusted {
			trusts[i] = brief(k)
		}
		files := strconv.Itoa(len(r.files))
		if names {
			files = strings.Join(r.files, ", ")
		}
		t.add(cell{id, plain}, cell{name, bold}, cell{kind, plain}, cell{r.account.user, plain},
			cell{files, plain},
			cell{clean(string(r.state)), good(r.state == fleet.OK)},
			cell{strings.Join(trusts, ","), plain},
			cell{count(r.foreign), yellow},
			cell{yesNo(r.live), good(r.live == accepted)},
			cell{yesNo(r.old), good(r.old == refused)})
	}
	return t
}

func good(ok bool) style {
	if ok {
		return green
	}
	return red
}

func count(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

// yesNo says whether a login succeeded.
func yesNo(o outcome) string {
	switch o {
	case accepted:
		return "yes"
	case refused:
		return "no"
	}
	return "?"
}

// findPrivateKeys looks for private keys in every file below the lab's folder,
// and returns where one stands that is not the secret store.
func (d *demo) findPrivateKeys(keys []*sshkey.PrivateKey) ([]string, error) {
	var needles [][]byte
	for _, k := range keys {
		needles = append(needles, privateLines(k.PEM())...)
	}
	var leaks []string
	stored := false
	err := filepath.WalkDir(d.lab.Dir(), func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(d.lab.Dir(), path)
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(needles, func(n []byte) bool { return bytes.Contains(content, n) }) {
			return nil
		}
		if strings.HasPrefix(rel, "secrets"+string(filepath.Separator)) {
			stored = true
		} else {
			leaks = append(leaks, rel+" holds a part of a private key")
		}
		return nil
	})
	if !stored {
		leaks = append(leaks, "not even the secret store has them, so the search found nothing")
	}
	return leaks, err
}

// privateLines returns the lines of a PEM block that a copy of the key has and
// nothing else: the first of them only say what follows.
func privateLines(pem []byte) [][]byte {
	lines := bytes.Split(bytes.TrimSpace(pem), []byte("\n"))
	const first = 3 // the marker, and 105 bytes of names and public key
	return lines[first : len(lines)-1]
}
