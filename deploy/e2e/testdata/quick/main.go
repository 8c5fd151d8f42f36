// Command quick stands in for a host's shell where it is Keytrail that is measured, and not the host: it
// does what the host script asks for and answers in its form, at the cost of starting a process.
//
// It believes everything, and writes as one pleases: what the script takes its time for is left out.
package main

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

type answer struct {
	Keytrail int    `json:"keytrail"`
	Nonce    string `json:"nonce"`
	Host     string `json:"host"`
	Action   string `json:"action"`
	Code     string `json:"code"`
	Users    []told `json:"users"`
	End      string `json:"end"`
}

type told struct {
	User      string `json:"user"`
	Code      string `json:"code"`
	Present   string `json:"present"`
	Remaining string `json:"remaining"`
	Added     int    `json:"added"`
	Removed   int    `json:"removed"`
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run is called as the shell is: -c TEXT.
func run() error {
	action := regexp.MustCompile(`SSM_Action='?([a-z]+)`).FindStringSubmatch(os.Args[len(os.Args)-1])
	if action == nil {
		return fmt.Errorf("the script does not say what it is for")
	}
	a := answer{Keytrail: 1, Nonce: os.Getenv("SSM_Nonce"), Host: os.Getenv("AWS_SSM_INSTANCE_ID"), Action: action[1], Code: "ok", End: os.Getenv("SSM_Nonce")}
	root := filepath.Dir(strings.Split(os.Getenv("PATH"), ":")[0]) // of the host's /bin
	for _, user := range strings.Fields(os.Getenv("SSM_Users")) {
		u, err := serve(filepath.Join(root, "home", user, ".ssh", "authorized_keys"), a.Action == "apply")
		if err != nil {
			return err
		}
		u.User = user
		a.Users = append(a.Users, u)
	}
	return json.NewEncoder(os.Stdout).Encode(a)
}

// serve brings one key file to what is asked, if it is to be changed, and tells what is in it then.
func serve(path string, change bool) (told, error) {
	text, err := os.ReadFile(path)
	if err != nil && !os.IsNotExist(err) {
		return told{}, err
	}
	u := told{Code: "ok"}
	lines := strings.FieldsFunc(string(text), func(r rune) bool { return r == '\n' })
	install, retire := list("SSM_Install", ","), list("SSM_Retire", " ")
	if change {
		before := len(lines)
		lines = slices.DeleteFunc(lines, func(l string) bool { return slices.Contains(retire, fingerprint(l)) })
		u.Removed = before - len(lines)
		for _, l := range install {
			if !has(lines, fingerprint(l)) {
				lines = append(lines, l)
				u.Added++
			}
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return told{}, err
		}
		if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
			return told{}, err
		}
	}
	for _, l := range install {
		u.Present += mark(has(lines, fingerprint(l)))
	}
	for _, f := range retire {
		u.Remaining += mark(has(lines, f))
	}
	return u, nil
}

func list(name, separator string) []string {
	text := os.Getenv(name)
	if text == "-" {
		return nil
	}
	return strings.Split(text, separator)
}

func has(lines []string, print string) bool {
	return slices.ContainsFunc(lines, func(l string) bool { return fingerprint(l) == print })
}

func mark(there bool) string {
	if there {
		return "y"
	}
	return "-"
}

// fingerprint is that of a line without options.
func fingerprint(line string) string {
	fields := strings.Fields(line)
	if len(fields) < 2 {
		return ""
	}
	blob, err := base64.StdEncoding.DecodeString(fields[1])
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(blob)
	return base64.RawStdEncoding.EncodeToString(sum[:])
}
