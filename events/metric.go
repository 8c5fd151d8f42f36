package events

import (
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/keytrail/keytrail/rotate/fleet"
)

// metrics writes lines that CloudWatch turns into metrics of the namespace Keytrail:
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
type metrics struct{ out io.Writer }

// metric is one number with its unit as CloudWatch names it.
type metric struct {
	name, unit string
	value      float64
}

// count counts one event.
func (m metrics) count(name string) {
	m.write("", []metric{{name, "Count", 1}})
}

// verdict writes what one look came to: how much of the fleet was seen, hosts and users by state, the age
// of the current key, the time from the event to the verdict, and the alerts that are open.
func (m metrics) verdict(k *visit) {
	list := []metric{{"OpenAlerts", "Count", float64(k.open)}}
	if v := k.known.verdict; v != nil {
		coverage := v.Coverage()
		list = append(list,
			metric{"Coverage", "Percent", 100 * coverage.Ratio()},
			metric{"HostsExpected", "Count", float64(coverage.Expected)},
			metric{"SecondsToVerdict", "Seconds", max(0, k.known.now.Sub(k.event.At).Seconds())})
		counts := v.Count()
		for _, s := range states {
			list = append(list, metric{"Places." + string(s), "Count", float64(counts[s])})
		}
		for _, key := range v.Keys {
			if key.Version == v.Version && !key.Created.IsZero() {
				list = append(list, metric{"KeyAgeDays", "None", k.known.now.Sub(key.Created).Hours() / 24})
				break
			}
		}
	}
	m.write(k.named.Name, list)
}

// states are those that have a metric, each at every look, so that a graph shows when one is over.
var states = []fleet.State{
	fleet.OK, fleet.Missing, fleet.Stale, fleet.Refused, fleet.NoUser, fleet.Forged,
	fleet.Unverifiable, fleet.Unreachable, fleet.Stopped, fleet.Unmanaged, fleet.Unsupported,
}

func (m metrics) write(secret string, list []metric) {
	type definition struct{ Name, Unit string }
	type directive struct {
		Namespace  string
		Dimensions [][]string
		Metrics    []definition
	}
	d := directive{Namespace: "Keytrail", Dimensions: [][]string{{}}}
	line := map[string]any{}
	if secret != "" {
		d.Dimensions = [][]string{{"Secret"}}
		line["Secret"] = secret
	}
	for _, x := range list {
		d.Metrics = append(d.Metrics, definition{x.name, x.unit})
		line[x.name] = x.value
	}
	line["_aws"] = map[string]any{"Timestamp": time.Now().UnixMilli(), "CloudWatchMetrics": []directive{d}}
	text, err := json.Marshal(line)
	if err != nil {
		return // numbers and texts have a form
	}
	_, _ = fmt.Fprintf(m.out, "%s\n", text) // whoever cannot log cannot say so either
}
