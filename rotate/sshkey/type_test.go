package sshkey_test

import (
	"strings"
	"testing"

	"github.com/keytrail/keytrail/rotate/sshkey"
)

func TestCheckKnowsWhichPairsExist(t *testing.T) {
	t.Parallel()
	exist := map[sshkey.Type]string{
		sshkey.Ed25519:   "openssh, pkcs8",
		sshkey.ECDSAP256: "openssh, pkcs8, sec1",
		sshkey.ECDSAP384: "openssh, pkcs8, sec1",
		sshkey.ECDSAP521: "openssh, pkcs8, sec1",
		sshkey.RSA2048:   "openssh, pkcs8, pkcs1",
		sshkey.RSA3072:   "openssh, pkcs8, pkcs1",
		sshkey.RSA4096:   "openssh, pkcs8, pkcs1",
	}
	for _, typ := range sshkey.Types() {
		for _, f := range sshkey.Formats() {
			err := sshkey.Check(typ, f)
			if strings.Contains(exist[typ], string(f)) {
				if err != nil {
					t.Errorf("Check(%s, %s) = %v, want nil", typ, f, err)
				}
				continue
			}
			want := string(typ) + " keys have no " + string(f) + " form: want one of " + exist[typ]
			if err == nil || err.Error() != want {
				t.Errorf("Check(%s, %s) = %v, want %q", typ, f, err, want)
			}
			if _, generated := sshkey.Generate(typ, f, "c"); generated == nil {
				t.Errorf("Generate(%s, %s) made a pair that does not exist", typ, f)
			}
		}
	}
}

func TestUnknownNamesAreRefusedWithTheKnownOnes(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		err  func() error
		want string
	}{
		{"a type in capitals", func() error { _, err := sshkey.ParseType("ED25519"); return err },
			`unknown key type "ED25519": want one of ed25519, ecdsa-p256, ecdsa-p384, ecdsa-p521, rsa-2048, rsa-3072, rsa-4096`},
		{"no type", func() error { _, err := sshkey.ParseType(""); return err }, `unknown key type ""`},
		{"a type that nobody uses any more", func() error { return sshkey.Check("dsa", sshkey.OpenSSH) }, `unknown key type "dsa"`},
		{"a form that does not exist", func() error { _, err := sshkey.ParseFormat("ppk"); return err },
			`unknown private key format "ppk": want one of openssh, pkcs8, pkcs1, sec1`},
		{"no form", func() error { return sshkey.Check(sshkey.Ed25519, "") }, `unknown private key format ""`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if err := tt.err(); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func TestNamesOfTypesAndFormsParse(t *testing.T) {
	t.Parallel()
	for _, want := range sshkey.Types() {
		if got, err := sshkey.ParseType(string(want)); got != want || err != nil {
			t.Errorf("ParseType(%q) = %q, %v", want, got, err)
		}
	}
	for _, want := range sshkey.Formats() {
		if got, err := sshkey.ParseFormat(string(want)); got != want || err != nil {
			t.Errorf("ParseFormat(%q) = %q, %v", want, got, err)
		}
	}
}
