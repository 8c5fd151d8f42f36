package lambda_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestJudge has the service judged by clients that nobody here wrote.
func TestJudge(t *testing.T) {
	t.Parallel()
	if err := exec.Command("python3", "-c", "import boto3, shutil, sys; sys.exit(shutil.which('aws') is None)").Run(); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("python3 with boto3 and awscli is missing")
		}
		t.Skip("needs python3 with boto3 and awscli")
	}
	f := function()
	f.Aliases = []string{"live"}
	f.Env = map[string]string{"USERNAME": "alice"}
	s, _, url := serve(t, f)
	model, err := filepath.Abs("../judge")
	if err != nil {
		t.Fatal(err)
	}
	judge := exec.CommandContext(t.Context(), "python3", "testdata/judge.py")
	judge.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "PYTHONPATH=" + model, "PYTHONDONTWRITEBYTECODE=1",
		"AWS_ENDPOINT_URL=" + url, "AWS_ACCESS_KEY_ID=AKIAIOSFODNN7EXAMPLE", "AWS_SECRET_ACCESS_KEY=secret",
		"AWS_DEFAULT_REGION=us-east-1", "AWS_EC2_METADATA_DISABLED=true", "AWS_PAGER=", "NO_PROXY=*",
		"AWS_CONFIG_FILE=/dev/null", "AWS_SHARED_CREDENTIALS_FILE=/dev/null",
	}
	if out, err := judge.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	s.Wait()
}
