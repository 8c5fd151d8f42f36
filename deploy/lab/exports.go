package lab

import "strings"

// The operator's access key: AWS's own example in its documentation, so that
// no scanner takes it for a real one. The front takes any key that no function
// has for the operator's.
const (
	operatorAccessKey = "AKIAIOSFODNN7EXAMPLE"
	operatorSecretKey = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
)

// Env returns, as NAME=value, what points an AWS client at the lab.
func (l *Lab) Env() []string {
	return []string{
		"AWS_ENDPOINT_URL=" + l.url,
		"AWS_ACCESS_KEY_ID=" + operatorAccessKey,
		"AWS_SECRET_ACCESS_KEY=" + operatorSecretKey,
		"AWS_REGION=" + l.options.Region,
		"AWS_DEFAULT_REGION=" + l.options.Region,
		"AWS_EC2_METADATA_DISABLED=true",
	}
}

// Exports returns the same as export commands for sh.
func (l *Lab) Exports() []string {
	var list []string
	for _, v := range l.Env() {
		name, value, _ := strings.Cut(v, "=")
		list = append(list, "export "+name+"="+quote(value))
	}
	return list
}

// quote makes a value one word of sh that stands for itself.
func quote(value string) string {
	return "'" + strings.ReplaceAll(value, "'", `'\''`) + "'"
}
