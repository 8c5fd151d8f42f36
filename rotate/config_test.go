package rotate

import (
	"strings"
	"testing"
	"time"
)

func getenv(pairs ...string) func(string) string {
	m := map[string]string{"USERNAME": "ec2-user", "TAGNAME": "Keytrail", "TAGVALUE": "yes"}
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i]] = pairs[i+1]
	}
	return func(name string) string { return m[name] }
}

func TestEveryMistakeOfTheConfigurationIsNamed(t *testing.T) {
	t.Parallel()
	_, err := ParseConfig(getenv("USERNAME", "", "TAGVALUE", "", "KEYTRAIL_KEY_TYPE", "dsa", "KEYTRAIL_GRACE", "1h"))
	if err == nil {
		t.Fatal("accepted")
	}
	for _, name := range []string{"USERNAME", "TAGVALUE", "KEYTRAIL_KEY_TYPE", "KEYTRAIL_GRACE"} {
		if !strings.Contains(err.Error(), name+":") {
			t.Errorf("the error does not name %s:\n%v", name, err)
		}
	}
}

func TestDefaultsAreTheDocumentedOnes(t *testing.T) {
	t.Parallel()
	c, err := ParseConfig(getenv("USERNAME", "ec2-user,admin  ec2-user"))
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(c.Users, " "); got != "ec2-user admin" {
		t.Errorf("users %q", got)
	}
	if c.KeyType != "ed25519" || c.KeyFormat != "openssh" || c.Proof != ProofHost || c.MissingUser != MissingUserFail || c.AllowRoot {
		t.Errorf("defaults: %+v", c)
	}
	if c.MaxOffline.Of(1000) != 0 || c.Fleet.MaxConcurrency(1000) != 50 || c.Fleet.MaxErrors(1000) != 1000 {
		t.Errorf("limits: %+v", c)
	}
}

func TestPairsOfTypeAndFormatThatDoNotExistAreRefused(t *testing.T) {
	t.Parallel()
	_, err := ParseConfig(getenv("KEYTRAIL_PRIVATE_KEY_FORMAT", "pkcs1"))
	if err == nil || !strings.Contains(err.Error(), "KEYTRAIL_PRIVATE_KEY_FORMAT:") {
		t.Errorf("pkcs1 for ed25519: %v", err)
	}
}

func TestBadValuesAreRefused(t *testing.T) {
	t.Parallel()
	for _, row := range [][2]string{
		{"USERNAME", "ec2-user;id"},
		{"USERNAME", "$(id)"},
		{"TAGVALUE", "a\nb"},
		{"KEYTRAIL_MAX_OFFLINE", "-1"},
		{"KEYTRAIL_MAX_OFFLINE", "101%"},
		{"KEYTRAIL_ALLOW_ROOT", "yes"},
		{"KEYTRAIL_LOGIN_PROOF", "SSH"},
		{"KEYTRAIL_BUCKET", "s3://register"},
		{"KEYTRAIL_RETENTION", "365"},
		{"KEYTRAIL_RETENTION", "governance:365"}, // of no bucket
		{"KEYTRAIL_SWEEP", "often"},
		{"KEYTRAIL_DELIVERY_TIMEOUT", "10s"},
		{"KEYTRAIL_EXECUTION_TIMEOUT", "2h"},
		{"KEYTRAIL_APPLY_DOCUMENT", "name:1"},
	} {
		if _, err := ParseConfig(getenv(row[0], row[1])); err == nil {
			t.Errorf("%s=%q was accepted", row[0], row[1])
		}
	}
}

func TestAGraceThatNothingWouldEndIsRefused(t *testing.T) {
	t.Parallel()
	for _, row := range [][]string{
		{"KEYTRAIL_GRACE", "1h"},
		{"KEYTRAIL_GRACE", "1h", "KEYTRAIL_BUCKET", "register"},
		{"KEYTRAIL_GRACE", "1h", "KEYTRAIL_SWEEP", "15m"},
		{"KEYTRAIL_GRACE", "-1h", "KEYTRAIL_SWEEP", "15m", "KEYTRAIL_BUCKET", "register"},
	} {
		if _, err := ParseConfig(getenv(row...)); err == nil || !strings.Contains(err.Error(), "KEYTRAIL_GRACE:") {
			t.Errorf("%q: %v", row, err)
		}
	}
	c, err := ParseConfig(getenv("KEYTRAIL_GRACE", "1h", "KEYTRAIL_SWEEP", "15m", "KEYTRAIL_BUCKET", "register"))
	if err != nil || c.Grace != time.Hour || c.Bucket != "register" {
		t.Errorf("%+v, %v", c, err)
	}
}
