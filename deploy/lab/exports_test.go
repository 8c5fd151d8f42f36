package lab

import "testing"

func TestQuote(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, value, want string }{
		{"a plain value", "us-east-1", `'us-east-1'`},
		{"what a shell would expand", "$(id) `id` \\", "'$(id) `id` \\'"},
		{"a quote", "it's", `'it'\''s'`},
		{"nothing", "", "''"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := quote(tt.value); got != tt.want {
				t.Errorf("quote(%q) = %s, want %s", tt.value, got, tt.want)
			}
		})
	}
}
