package host

import (
	"crypto/rsa"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/keytrail/keytrail/deploy/lab/host/rootfs"
	"github.com/keytrail/keytrail/deploy/lab/host/sshdconf"
)

// judge decides one login as sshd would, from the files as they are now.
type judge struct {
	root     rootfs.Root
	conn     sshdconf.Connection
	settings sshdconf.Settings
	account  rootfs.Account
	groups   []rootfs.Group
	owners   *rootfs.Owners
	now      time.Time
}

// newJudge reads what applies to a connection. An error means that sshd lets
// the user in with no key.
func newJudge(root rootfs.Root, conn sshdconf.Connection, now time.Time) (*judge, error) {
	j := &judge{root: root, conn: conn, now: now.UTC()}
	var known bool
	var err error
	if j.account, known, err = root.Account(conn.User); err != nil {
		return nil, err
	}
	known = known && j.account.Name == conn.User
	if known {
		if j.groups, err = root.GroupsOf(j.account); err != nil {
			return nil, err
		}
		for _, g := range j.groups {
			j.conn.Groups = append(j.conn.Groups, g.Name)
		}
	}
	config, err := sshdconf.Load(os.DirFS(string(root)), strings.TrimPrefix(configFile, "/"))
	if err != nil {
		return nil, err
	}
	if j.settings, err = config.Settings(j.conn); err != nil {
		return nil, err
	}
	if j.owners, err = root.Owners(); err != nil {
		return nil, err
	}
	if !known {
		return nil, errors.New("no such user")
	}
	return j, j.checkAccount()
}

// checkAccount applies what does not depend on the key.
func (j *judge) checkAccount() error {
	shadow, _, err := j.root.Shadow(j.account.Name)
	if err != nil {
		return err
	}
	pam := j.settings.Yes("usepam")
	today := int(j.now.Unix() / (24 * 60 * 60))
	switch {
	case !pam && strings.HasPrefix(shadow.Password, "!"):
		return errors.New("account is locked")
	case pam && shadow.Expires > 0 && today >= shadow.Expires, !pam && shadow.Expires >= 0 && today > shadow.Expires:
		return errors.New("account has expired")
	case pam && shadow.Lapses >= 0 && today > shadow.Lapses:
		return errors.New("password was changed too long ago")
	}
	shell := j.account.Shell
	if shell == "" {
		shell = "/bin/sh"
	}
	info, err := os.Stat(j.root.Path(shell))
	if err != nil {
		return fmt.Errorf("shell %s does not exist", shell)
	}
	if !info.Mode().IsRegular() || info.Mode()&0o111 == 0 {
		return fmt.Errorf("shell %s is not executable", shell)
	}
	if err := j.settings.Admit(j.conn); err != nil {
		return err
	}
	if j.account.UID == 0 {
		if j.settings.First("permitrootlogin") == "no" {
			return errors.New("root login is not permitted")
		}
	} else if _, err := os.Stat(j.root.Path("/etc/nologin")); err == nil {
		return errors.New("/etc/nologin exists")
	}
	if !j.settings.Yes("pubkeyauthentication") {
		return errors.New("public key authentication is off")
	}
	return nil
}

// offered decides on a key and returns the command that it forces, if any.
func (j *judge) offered(key ssh.PublicKey) (command string, err error) {
	if !slices.ContainsFunc(signatures(key), j.settings.Accepts) {
		return "", fmt.Errorf("key type %s is not in PubkeyAcceptedAlgorithms", key.Type())
	}
	plain := key
	cert, isCert := key.(*ssh.Certificate)
	if isCert {
		plain = cert.Key
	}
	if bits, least := rsaBits(plain), j.settings.Number("requiredrsasize"); bits != 0 && bits < least {
		return "", fmt.Errorf("RSA key of %d bits, %d are required", bits, least)
	}
	if err := j.checkRevoked(plain); err != nil {
		return "", err
	}
	if isCert {
		if err := j.checkRevoked(cert.SignatureKey); err != nil {
			return "", err
		}
		if ok, err := j.trustedCA(cert); ok || err != nil {
			return j.finish("", err)
		}
	}
	return j.finish(j.searchFiles(key))
}

// finish applies what depends on the key's forced command.
func (j *judge) finish(command string, err error) (string, error) {
	if err == nil && j.account.UID == 0 && command == "" && j.settings.First("permitrootlogin") == "forced-commands-only" {
		return "", errors.New("root may log in with a forced command only")
	}
	if forced := j.settings.First("forcecommand"); forced != "" && forced != "none" {
		command = forced
	}
	return command, err
}

// signatures returns the algorithms that a key can sign with.
func signatures(key ssh.PublicKey) []string {
	switch key.Type() {
	case ssh.KeyAlgoRSA:
		return []string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256, ssh.KeyAlgoRSA}
	case ssh.CertAlgoRSAv01:
		return []string{ssh.CertAlgoRSASHA512v01, ssh.CertAlgoRSASHA256v01, ssh.CertAlgoRSAv01}
	}
	return []string{key.Type()}
}

// signed checks the algorithm that a login was signed with.
func (j *judge) signed(key ssh.PublicKey, algorithm string) error {
	if _, isCert := key.(*ssh.Certificate); isCert {
		algorithm += "-cert-v01@openssh.com"
	}
	if !j.settings.Accepts(algorithm) {
		return fmt.Errorf("signature %s is not in PubkeyAcceptedAlgorithms", algorithm)
	}
	return nil
}

// enough reports whether a key alone completes the login.
func (j *judge) enough() bool {
	list := j.settings.All("authenticationmethods")
	return len(list) == 0 || slices.Contains(list, "publickey") || slices.Contains(list, "any")
}

func rsaBits(key ssh.PublicKey) int {
	if c, ok := key.(ssh.CryptoPublicKey); ok {
		if r, ok := c.CryptoPublicKey().(*rsa.PublicKey); ok {
			return r.N.BitLen()
		}
	}
	return 0
}

func (j *judge) checkRevoked(key ssh.PublicKey) error {
	name := j.settings.First("revokedkeys")
	if name == "" || name == "none" {
		return nil
	}
	file, err := os.ReadFile(j.root.Path(name))
	if err != nil {
		return fmt.Errorf("revoked keys cannot be read: %w", err)
	}
	revoked, err := sshdconf.Revoked(file, key.Marshal())
	if err != nil {
		return fmt.Errorf("revoked keys cannot be read: %w", err)
	}
	if revoked {
		return errors.New("key is revoked")
	}
	return nil
}

// trustedCA reports whether a certificate is signed by one of TrustedUserCAKeys.
func (j *judge) trustedCA(cert *ssh.Certificate) (bool, error) {
	name := j.settings.First("trustedusercakeys")
	if name == "" || name == "none" {
		return false, nil
	}
	text, err := os.ReadFile(j.root.Path(name))
	if err != nil {
		return false, nil
	}
	for _, l := range keyLines(text) {
		if sameKey(l.key, cert.SignatureKey) {
			return true, j.checkCert(cert, "")
		}
	}
	return false, nil
}

// checkCert checks validity, principals and source addresses.
func (j *judge) checkCert(cert *ssh.Certificate, principals string) error {
	if cert.CertType != ssh.UserCert {
		return errors.New("certificate is not for users")
	}
	wanted := []string{j.account.Name}
	if principals != "" {
		wanted = strings.Split(principals, ",")
	}
	if !slices.ContainsFunc(wanted, func(p string) bool { return slices.Contains(cert.ValidPrincipals, p) }) {
		return errors.New("certificate does not contain an authorized principal")
	}
	checker := ssh.CertChecker{Clock: func() time.Time { return j.now }, SupportedCriticalOptions: []string{"force-command", "source-address"}}
	return checker.CheckCert(cert.ValidPrincipals[0], cert)
}

// searchFiles looks for a key in the files that sshd reads for the user.
func (j *judge) searchFiles(key ssh.PublicKey) (command string, err error) {
	err = errors.New("key is in no file that sshd reads")
	for _, name := range j.settings.All("authorizedkeysfile") {
		if strings.EqualFold(name, "none") {
			continue
		}
		text, e := j.readKeys(j.expand(name))
		if e != nil {
			if !errors.Is(e, fs.ErrNotExist) {
				err = e
			}
			continue
		}
		for _, l := range keyLines(text) {
			command, found, e := j.checkLine(l, key)
			switch {
			case !found:
			case e == nil:
				return command, nil
			default:
				err = e
			}
		}
	}
	return "", err
}

// expand returns the path on this machine of a word of AuthorizedKeysFile.
func (j *judge) expand(name string) string {
	home := j.root.Path(j.account.Home)
	name = strings.NewReplacer("%%", "%", "%h", home, "%u", j.account.Name, "%U", strconv.Itoa(j.account.UID)).Replace(name)
	if !filepath.IsAbs(name) {
		return filepath.Join(home, name)
	}
	return j.root.Path(name)
}

// checkLine reports whether a line is about the key, and what is wrong with it.
func (j *judge) checkLine(l keyLine, key ssh.PublicKey) (command string, found bool, err error) {
	cert, isCert := key.(*ssh.Certificate)
	if isCert && !sameKey(l.key, cert.SignatureKey) || !isCert && !sameKey(l.key, key) {
		return "", false, nil
	}
	o, err := parseOptions(l.options)
	if err != nil {
		return "", true, fmt.Errorf("options of the key: %w", err)
	}
	if o.certAuthority != isCert {
		return "", true, errors.New("key and certificate authority are mixed up")
	}
	switch {
	case !o.expires.IsZero() && o.expires.Before(j.now):
		return "", true, errors.New("key has expired")
	case o.principals != "" && !o.certAuthority:
		return "", true, errors.New("principals on a key that is no authority")
	}
	if o.from != "" {
		if ok, err := sshdconf.MatchHost(j.conn.Host, j.conn.Address, o.from); err != nil || !ok {
			return "", true, errors.New("key is not permitted from this address")
		}
	}
	if isCert {
		return o.command, true, j.checkCert(cert, o.principals)
	}
	return o.command, true, nil
}

func sameKey(a, b ssh.PublicKey) bool { return string(a.Marshal()) == string(b.Marshal()) }

// maxKeysFile keeps a file that somebody filled from filling memory as well.
const maxKeysFile = 64 << 20

// readKeys reads a file with the user's rights and, under StrictModes, only if
// nobody else could have written it.
func (j *judge) readKeys(path string) ([]byte, error) {
	target, err := filepath.EvalSymlinks(path)
	if err != nil {
		return nil, err
	}
	if !j.root.Has(target) {
		return nil, fs.ErrNotExist
	}
	info, err := os.Stat(target)
	if err != nil {
		return nil, err
	}
	for _, p := range []string{path, target} {
		if err := j.mayReach(p); err != nil {
			return nil, err
		}
	}
	if !j.may(target, info, 4) {
		return nil, fmt.Errorf("%s: permission denied", j.root.HostPath(path))
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", j.root.HostPath(path))
	}
	if j.settings.Yes("strictmodes") {
		if err := j.strict(target, info); err != nil {
			return nil, err
		}
	}
	if info.Size() > maxKeysFile {
		return nil, fmt.Errorf("%s is too large", j.root.HostPath(path))
	}
	return os.ReadFile(target)
}

// mayReach reports whether the user may pass all directories above a path.
func (j *judge) mayReach(path string) error {
	for dir := filepath.Dir(path); j.root.Has(dir); dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		if err != nil {
			return err
		}
		if !j.may(dir, info, 1) {
			return fmt.Errorf("%s: permission denied", j.root.HostPath(dir))
		}
	}
	return nil
}

// may reports whether the user has a right (4 read, 1 search) by the mode.
func (j *judge) may(path string, info fs.FileInfo, right fs.FileMode) bool {
	uid, gid := j.owners.Of(path)
	mode := info.Mode().Perm()
	switch {
	case j.account.UID == 0:
		return true
	case uid == j.account.UID:
		return mode>>6&right != 0
	case slices.ContainsFunc(j.groups, func(g rootfs.Group) bool { return g.GID == gid }):
		return mode>>3&right != 0
	default:
		return mode&right != 0
	}
}

// strict is StrictModes: the file and every directory up to the home, or to
// the root for files elsewhere, are owned by the user or root and writable by
// nobody else.
func (j *judge) strict(target string, info fs.FileInfo) error {
	if !j.safe(target, info) {
		return fmt.Errorf("bad ownership or modes for file %s", j.root.HostPath(target))
	}
	home, _ := filepath.EvalSymlinks(j.root.Path(j.account.Home))
	for dir := filepath.Dir(target); j.root.Has(dir); dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		if err != nil {
			return err
		}
		if !j.safe(dir, info) {
			return fmt.Errorf("bad ownership or modes for directory %s", j.root.HostPath(dir))
		}
		if dir == home {
			break
		}
	}
	return nil
}

func (j *judge) safe(path string, info fs.FileInfo) bool {
	uid, _ := j.owners.Of(path)
	return (uid == 0 || uid == j.account.UID) && info.Mode().Perm()&0o022 == 0
}
