// Command ancestor is a rotation function as they were before Keytrail: the decisions and the host
// script of the sample that most rotators of SSH keys copy, written anew with its bugs. It is the
// negative control of the end-to-end tests: what must fail in it, if a test is worth its name.
// Nothing of it is part of the product, and it is never to be run outside a lab.
//
// Two things are not as they were. It polls quickly, and it reads where hosts listen from the
// variable ADDRESSES ({"i-0123456789abcdef0":"127.0.0.1:2201"}) instead of asking EC2; what is no EC2
// instance is left out of both.
package main

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	_ "embed"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
	_ "time/tzdata" // for B21, whatever the machine has

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	smtypes "github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"
	"golang.org/x/crypto/ssh"
)

//go:embed add.sh
var addScript string

//go:embed remove.sh
var removeScript string

const (
	current = "AWSCURRENT"
	pending = "AWSPENDING"
)

// function is what the old one kept in module globals.
type function struct {
	secrets                 *secretsmanager.Client
	systems                 *ssm.Client
	user, tagName, tagValue string
	addresses               map[string]string
	secret, version         string
}

func main() {
	cfg, err := config.LoadDefaultConfig(context.Background())
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	f := function{
		secrets: secretsmanager.NewFromConfig(cfg),
		systems: ssm.NewFromConfig(cfg),
		user:    os.Getenv("USERNAME"),
		tagName: os.Getenv("TAGNAME"), tagValue: os.Getenv("TAGVALUE"),
	}
	if text := os.Getenv("ADDRESSES"); text != "" {
		if err := json.Unmarshal([]byte(text), &f.addresses); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	lambda.Start(f.rotate)
}

func (f function) rotate(ctx context.Context, raw json.RawMessage) error {
	fmt.Println(string(raw)) // B17
	var e events.SecretsManagerSecretRotationEvent
	if err := json.Unmarshal(raw, &e); err != nil {
		return err
	}
	f.secret, f.version = e.SecretID, e.ClientRequestToken
	about, err := f.secrets.DescribeSecret(ctx, &secretsmanager.DescribeSecretInput{SecretId: &f.secret})
	if err != nil {
		return err
	}
	if about.RotationEnabled == nil { // B23: a key that is not in the dictionary
		return errors.New("KeyError: 'RotationEnabled'")
	}
	if !*about.RotationEnabled {
		return errors.New("rotation is not enabled")
	}
	labels, known := about.VersionIdsToStages[f.version]
	switch {
	case !known:
		return errors.New("the version has no stage")
	case slices.Contains(labels, current):
		return nil
	case !slices.Contains(labels, pending):
		return errors.New("the version is not pending")
	}
	switch e.Step {
	case "createSecret":
		return f.create(ctx)
	case "setSecret":
		return f.set(ctx)
	case "testSecret":
		return f.test(ctx)
	case "finishSecret":
		return f.finish(ctx, about.VersionIdsToStages)
	}
	return errors.New("invalid step")
}

// value reads a version by its label alone (B24).
func (f function) value(ctx context.Context, label string) (map[string]any, error) {
	out, err := f.secrets.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: &f.secret, VersionStage: &label})
	if err != nil {
		return nil, err
	}
	var members map[string]any
	return members, json.Unmarshal([]byte(aws.ToString(out.SecretString)), &members)
}

func (f function) create(ctx context.Context) error {
	members, err := f.value(ctx, current) // B23: a secret without a value
	if err != nil {
		return err
	}
	_, err = f.secrets.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{
		SecretId: &f.secret, VersionId: &f.version, VersionStage: aws.String(pending),
	})
	var missing *smtypes.ResourceNotFoundException
	if !errors.As(err, &missing) {
		return err
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048) // B26
	if err != nil {
		return err
	}
	public, err := ssh.NewPublicKey(key.Public())
	if err != nil {
		return err
	}
	members["PrivateKey"] = string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}))
	members["PublicKey"] = strings.TrimSpace(string(ssh.MarshalAuthorizedKey(public))) + " " + f.version
	text, err := json.Marshal(members)
	if err != nil {
		return err
	}
	_, err = f.secrets.PutSecretValue(ctx, &secretsmanager.PutSecretValueInput{ // B17: without the rotation token
		SecretId: &f.secret, ClientRequestToken: &f.version, SecretString: aws.String(string(text)), VersionStages: []string{pending},
	})
	return err
}

func (f function) set(ctx context.Context) error {
	if _, err := f.secrets.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{
		SecretId: &f.secret, VersionId: &f.version, VersionStage: aws.String(pending),
	}); err != nil {
		return err
	}
	members, err := f.value(ctx, pending)
	if err != nil {
		return err
	}
	key, _ := members["PublicKey"].(string)
	return f.run(ctx, addScript, "add "+f.version, f.version, key)
}

// run pastes values into a script (B18), sends it to whatever has the tag now, and believes the
// command's own status (B4, B22).
func (f function) run(ctx context.Context, script, comment, version, key string) error {
	text := strings.NewReplacer("@USER@", f.user, "@VERSION@", version, "@KEY@", key).Replace(script)
	sent, err := f.systems.SendCommand(ctx, &ssm.SendCommandInput{
		DocumentName: aws.String("AWS-RunShellScript"),
		Comment:      &comment,
		Targets:      []types.Target{{Key: aws.String("tag:" + f.tagName), Values: []string{f.tagValue}}},
		Parameters:   map[string][]string{"commands": strings.Split(strings.TrimSuffix(text, "\n"), "\n")},
	})
	if err != nil {
		return err
	}
	for {
		list, err := f.systems.ListCommands(ctx, &ssm.ListCommandsInput{CommandId: sent.Command.CommandId})
		if err != nil {
			return err
		}
		if len(list.Commands) == 0 { // B22: Commands[0]
			return errors.New("IndexError: list index out of range")
		}
		switch c := list.Commands[0]; c.Status {
		case types.CommandStatusPending, types.CommandStatusInProgress:
		case types.CommandStatusSuccess:
			return nil
		default:
			return fmt.Errorf("command %s: %s", c.Status, aws.ToString(c.StatusDetails))
		}
		select {
		case <-ctx.Done():
			return errors.New("timed out waiting for completion")
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func (f function) test(ctx context.Context) error {
	members, err := f.value(ctx, pending)
	if err != nil {
		return err
	}
	hosts, err := f.reached(ctx)
	if err != nil {
		return err
	}
	text, _ := members["PrivateKey"].(string)
	block, _ := pem.Decode([]byte(text))
	if block == nil || block.Type != "RSA PRIVATE KEY" { // B26
		return errors.New("not a valid RSA private key file")
	}
	key, err := x509.ParsePKCS1PrivateKey(block.Bytes)
	if err != nil {
		return err
	}
	signer, err := ssh.NewSignerFromKey(key)
	if err != nil {
		return err
	}
	for _, id := range hosts { // one after the other
		if address, ok := f.addresses[id]; ok {
			if err := f.logIn(address, signer); err != nil {
				return err
			}
		}
	}
	return nil
}

// reached finds the command that added the key by its comment among all that the account sent lately,
// and returns the nodes that it was sent to.
func (f function) reached(ctx context.Context) ([]string, error) {
	var id *string
	since := time.Now().Add(-4 * time.Hour).Format("2006-01-02T15:04:05Z") // B21: local time, called UTC
	in := &ssm.ListCommandsInput{Filters: []types.CommandFilter{{Key: types.CommandFilterKeyInvokedAfter, Value: &since}}}
	for pages := ssm.NewListCommandsPaginator(f.systems, in); pages.HasMorePages(); {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, c := range page.Commands {
			if aws.ToString(c.Comment) == "add "+f.version && c.Status == types.CommandStatusSuccess {
				id = c.CommandId
				break
			}
		}
	}
	if id == nil {
		return nil, errors.New("no Run Command with this comment")
	}
	var hosts []string
	for pages := ssm.NewListCommandInvocationsPaginator(f.systems, &ssm.ListCommandInvocationsInput{CommandId: id}); pages.HasMorePages(); {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, i := range page.CommandInvocations {
			hosts = append(hosts, aws.ToString(i.InstanceId))
		}
	}
	return hosts, nil
}

// logIn takes whatever host answers, without a time-out (B12), and never looks at what the command
// did (B11).
func (f function) logIn(address string, key ssh.Signer) error {
	client, err := ssh.Dial("tcp", address, &ssh.ClientConfig{
		User: f.user, Auth: []ssh.AuthMethod{ssh.PublicKeys(key)}, HostKeyCallback: ssh.InsecureIgnoreHostKey(),
	})
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }()
	if session, err := client.NewSession(); err == nil {
		_ = session.Start("hostname")
	}
	fmt.Printf("successfully executed command 'hostname' on %s as user %s\n", address, f.user)
	return nil
}

func (f function) finish(ctx context.Context, versions map[string][]string) error {
	var prior *string
	for id, labels := range versions {
		if slices.Contains(labels, current) {
			prior = &id
		}
	}
	if _, err := f.secrets.UpdateSecretVersionStage(ctx, &secretsmanager.UpdateSecretVersionStageInput{
		SecretId: &f.secret, VersionStage: aws.String(current), MoveToVersionId: &f.version, RemoveFromVersionId: prior,
	}); err != nil {
		return err
	}
	return f.run(ctx, removeScript, "remove "+aws.ToString(prior), aws.ToString(prior), "")
}
