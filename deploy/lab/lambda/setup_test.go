package lambda_test

import (
	"archive/zip"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/keytrail/keytrail/deploy/lab/lambda"
)

// zipped is an archive with one file, as a member of a JSON body.
func zipped(t *testing.T, name string, content []byte) string {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	w, err := z.Create(name)
	if err == nil {
		_, err = w.Write(content)
	}
	if err := errors.Join(err, z.Close()); err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(b.Bytes())
}

// architectures are Lambda's names of this machine and of another.
func architectures() (own, other string) {
	if runtime.GOARCH == "arm64" {
		return "arm64", "x86_64"
	}
	return "x86_64", "arm64"
}

// TestAFunctionByHand goes through the life of a function, step by step.
func TestAFunctionByHand(t *testing.T) {
	t.Parallel()
	s, _, url := serve(t, function())
	empty, err := os.ReadFile(filepath.Join(programs, "empty"))
	if err != nil {
		t.Fatal(err)
	}
	own, other := architectures()
	archive := zipped(t, "bootstrap", empty)
	creation := func(more string) string {
		return `{"FunctionName":"rotate","Runtime":"provided.al2023","Handler":"bootstrap","Role":"arn:aws:iam::111122223333:role/team/rotate",
			"Timeout":60,"Environment":{"Variables":{"USERS":"1"}},"Code":{"ZipFile":"` + archive + `"}` + more + `}`
	}
	const functions, rotate = "/2015-03-31/functions", "/2015-03-31/functions/rotate"
	permission := `{"StatementId":"sm","Action":"lambda:InvokeFunction","Principal":"secretsmanager.amazonaws.com","SourceAccount":"111122223333"}`
	for _, step := range []struct {
		method, path, body string
		status             int
		want               string
	}{
		{"POST", functions, creation(`,"Layers":["x"]`), 400, "Layers"},
		{"POST", functions, creation(`,"Runtime":"python3.12"`), 400, "python3.12"},
		{"POST", functions, creation(`,"Timeout":901`), 400, "Member must have value less than or equal to 900"},
		{"POST", functions, strings.Replace(creation(""), "111122223333", "444455556666", 1), 400, "The role defined for the function cannot be assumed by Lambda."},
		{"POST", functions, strings.Replace(creation(""), archive, "AAAA", 1), 400, "Could not unzip uploaded file"},
		{"POST", functions, creation(`,"Architectures":["` + other + `"]`), 201, `"Architectures":["` + other + `"]`},
		{"POST", functions, creation(""), 409, "Function already exist: rotate"},
		{"POST", rotate + "/invocations", "{}", 200, "exec format error"},
		{"PUT", rotate + "/code", `{"ZipFile":"` + archive + `","Architectures":["` + own + `"]}`, 200, `"Role":"arn:aws:iam::111122223333:role/team/rotate"`},
		{"POST", rotate + "/invocations", "{}", 200, ""},
		{"PUT", rotate + "/configuration", `{"MemorySize":512}`, 200, `"Timeout":60,"MemorySize":512`},
		{"GET", rotate, "", 200, `"Environment":{"Variables":{"USERS":"1"}}`},
		{"PUT", "/2017-10-31/functions/rotate/concurrency", `{"ReservedConcurrentExecutions":10}`, 200, `"ReservedConcurrentExecutions":10`},
		{"GET", rotate + "/aliases/reconcile", "", 404, "Cannot find alias"},
		{"POST", rotate + "/aliases", `{"Name":"reconcile","FunctionVersion":"7"}`, 404, "Function not found"},
		{"POST", rotate + "/aliases", `{"Name":"reconcile","FunctionVersion":"$LATEST"}`, 201, "function:rotate:reconcile"},
		{"GET", rotate + "/aliases/reconcile", "", 200, `"FunctionVersion":"$LATEST"`},
		{"POST", rotate + "/versions", "{}", 201, `"Version":"1"`},
		{"POST", rotate + ":reconcile/invocations", "{}", 200, ""},
		{"GET", rotate + "/policy", "", 404, "does not exist"},
		{"POST", rotate + "/policy", permission, 201, "aws"},
		{"POST", rotate + "/policy", permission, 409, "already exists"},
		{"GET", rotate + "/policy", "", 200, `SourceAccount`},
		{"DELETE", rotate + "/policy/other", "", 404, "not found"},
		{"DELETE", rotate + "/policy/sm", "", 204, ""},
		{"DELETE", rotate + "/aliases/reconcile", "", 204, ""},
		{"DELETE", rotate, "", 204, ""},
		{"GET", rotate, "", 404, "Function not found"},
	} {
		r, body := request(t, step.method, url+step.path, step.body)
		if r.StatusCode != step.status || !strings.Contains(body, step.want) {
			t.Errorf("%s %s: %d %s\nwant %d %s", step.method, step.path, r.StatusCode, body, step.status, step.want)
		}
	}
	if s.Has("rotate") {
		t.Error("the function is still there")
	}
}

// TestThePolicyOfAFunctionIsTold holds what the service says about its policies
// against what was asked for.
func TestThePolicyOfAFunctionIsTold(t *testing.T) {
	t.Parallel()
	policies := map[string]json.RawMessage{}
	f := function()
	f.Aliases = []string{"reconcile"}
	_, _, url := serveWith(t, lambda.Options{Policy: func(arn string, p json.RawMessage) error {
		if bytes.Contains(p, []byte("nobody")) {
			return errors.New("no such principal")
		}
		policies[arn] = p
		return nil
	}}, f)
	at := url + "/2015-03-31/functions/sample/policy"
	add := func(query, id, principal string) int {
		r, _ := request(t, "POST", at+query, `{"StatementId":"`+id+`","Action":"lambda:InvokeFunction","Principal":"`+principal+`"}`)
		return r.StatusCode
	}
	if got := []int{add("", "a", "secretsmanager.amazonaws.com"), add("", "b", "nobody"), add("?Qualifier=reconcile", "a", "444455556666")}; got[0] != 201 || got[1] != 400 || got[2] != 201 {
		t.Errorf("statuses %d", got)
	}
	const arn = "arn:aws:lambda:us-east-1:111122223333:function:sample"
	if p := string(policies[arn]); !strings.Contains(p, `"Service":"secretsmanager.amazonaws.com"`) || strings.Contains(p, "nobody") {
		t.Errorf("the function's policy: %s", p)
	}
	if p := string(policies[arn+":reconcile"]); !strings.Contains(p, `"AWS":"444455556666"`) {
		t.Errorf("the alias's policy: %s", p)
	}
	request(t, "DELETE", url+"/2015-03-31/functions/sample", "")
	if policies[arn] != nil || policies[arn+":reconcile"] != nil {
		t.Errorf("policies of a function that is gone: %s", policies)
	}
}
