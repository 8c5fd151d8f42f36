package alert

import (
	"net/url"
	"strings"
)

// link is one page to look at.
type link struct {
	Name string `json:"name"`
	URL  string `json:"url"`
}

// consoles are the domains of the AWS console.
var consoles = map[string]string{"aws-cn": "console.amazonaws.cn", "aws-us-gov": "console.amazonaws-us-gov.com"}

// linkable are ids and names as AWS makes them. Anything else leads nowhere, or elsewhere.
var linkable = lazily(`^[A-Za-z0-9_-]{1,200}$`)

// links returns the pages of the AWS console, of the report and of the runbook.
func (p page) links() []link {
	domain := consoles[p.partition]
	if domain == "" {
		domain = "console.aws.amazon.com"
	}
	region := url.QueryEscape(p.region)
	base := "https://" + region + "." + domain + "/"
	query := "?region=" + region
	var all []link
	if safe().MatchString(p.Secret.Name) {
		all = append(all, link{"Secret", base + "secretsmanager/secret" + query + "&name=" + url.QueryEscape(p.Secret.Name)})
	}
	for _, pl := range p.Problem.Places {
		if linkable().MatchString(pl.CommandID) {
			all = append(all, link{"Command", base + "systems-manager/run-command/" + pl.CommandID + query})
			break
		}
	}
	if id := p.Problem.EventID; linkable().MatchString(id) {
		all = append(all, link{"Event", base + "cloudtrailv2/home" + query + "#/events/" + id})
	}
	if f := functionName(p.Problem.Function, p.site.Rotate); linkable().MatchString(f) && p.Problem.Who == (Who{}) {
		// The console wants the slashes of a log group encoded twice, with $ for %.
		group := strings.ReplaceAll(url.QueryEscape(url.QueryEscape("/aws/lambda/"+f)), "%", "$")
		all = append(all, link{"Log", base + "cloudwatch/home" + query + "#logsV2:log-groups/log-group/" + group})
	}
	if p.site.Report != "" {
		all = append(all, link{"Report", p.site.Report})
	}
	if p.site.Runbook != "" {
		all = append(all, link{"Runbook", p.site.Runbook + "#" + string(p.Condition)})
	}
	return all
}

// functionName returns the name in a function's ARN, or the one that is known.
func functionName(function, known string) string {
	if _, name, ok := strings.Cut(function, ":function:"); ok {
		name, _, _ = strings.Cut(name, ":")
		return name
	}
	if function != "" {
		return function
	}
	return known
}
