package policy_test

import (
	"slices"
	"testing"

	"github.com/keytrail/keytrail/deploy/lab/policy"
)

const (
	queue = "arn:aws:sqs:us-east-1:111122223333:alerts"
	topic = "arn:aws:sns:us-east-1:111122223333:alerts"
)

func TestAllows(t *testing.T) {
	t.Parallel()
	ask := policy.Request{Principal: "sns.amazonaws.com", Action: "sqs:SendMessage", Resource: queue, SourceARN: topic, Account: "111122223333"}
	tests := []struct {
		name string
		text string
		want bool
	}{
		{"the service for one source", `{"Statement":[{"Effect":"Allow","Principal":{"Service":"sns.amazonaws.com"},"Action":"sqs:SendMessage",
			"Resource":"` + queue + `","Condition":{"ArnEquals":{"aws:SourceArn":"` + topic + `"}}}]}`, true},
		{"a statement that is no list, and an action in other letters", `{"Statement":{"Effect":"Allow","Principal":"*","Action":"SQS:Send*","Resource":"*"}}`, true},
		{"another source", `{"Statement":[{"Effect":"Allow","Principal":{"Service":["sns.amazonaws.com"]},"Action":"sqs:SendMessage",
			"Resource":"` + queue + `","Condition":{"ArnLike":{"aws:SourceArn":"arn:aws:sns:*:*:other"}}}]}`, false},
		{"another account", `{"Statement":[{"Effect":"Allow","Principal":{"AWS":"*"},"Action":"*","Resource":"*",
			"Condition":{"StringEquals":{"AWS:SourceOwner":"444455556666"}}}]}`, false},
		{"another service", `{"Statement":[{"Effect":"Allow","Principal":{"Service":"events.amazonaws.com"},"Action":"*","Resource":"*"}]}`, false},
		{"another resource", `{"Statement":[{"Effect":"Allow","Principal":"*","Action":"*","Resource":"` + queue + `-dead"}]}`, false},
		{"another action", `{"Statement":[{"Effect":"Allow","Principal":"*","Action":["sqs:ReceiveMessage"],"Resource":"*"}]}`, false},
		{"a denial beside it", `{"Statement":[{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"},
			{"Effect":"Deny","Principal":"*","Action":"sqs:SendMessage","Resource":"*","Condition":{"StringNotEquals":{"aws:SourceAccount":"444455556666"}}}]}`, false},
		{"a denial of plain text calls", `{"Statement":[{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"},
			{"Effect":"Deny","Principal":"*","Action":"sqs:*","Resource":"*","Condition":{"Bool":{"aws:SecureTransport":"false"}}}]}`, true},
		{"a condition that is not known", `{"Statement":[{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*","Condition":{"DateLessThan":{"aws:CurrentTime":"2030-01-01"}}}]}`, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p, err := policy.Parse(tt.text)
			if err != nil {
				t.Fatal(err)
			}
			if got := p.Allows(ask); got != tt.want {
				t.Errorf("allowed is %t, want %t", got, tt.want)
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "{", "{}", `{"Statement":[{"Effect":"Maybe","Action":"*"}]}`, `{"Statement":[{"Effect":"Allow"}]}`} {
		if _, err := policy.Parse(text); err == nil {
			t.Errorf("%q is read, want an error", text)
		}
	}
}

func TestActions(t *testing.T) {
	t.Parallel()
	p, err := policy.Parse(`{"Statement":[{"Effect":"Allow","Principal":"*","Action":["b","a"],"Resource":"*"},{"Effect":"Deny","Principal":"*","Action":"a","Resource":"*"}]}`)
	if err != nil || !slices.Equal(p.Actions(), []string{"a", "b"}) {
		t.Errorf("actions %v (%v), want a and b", p.Actions(), err)
	}
}
