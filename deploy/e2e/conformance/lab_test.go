package conformance

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/keytrail/keytrail/deploy/lab/host"
	"github.com/keytrail/keytrail/deploy/lab/host/rootfs"
	"github.com/keytrail/keytrail/rotate/fleet"
)

const hostID = "i-0123456789abcdef0"

// newLabHost makes a host of the lab with nothing in it but root.
func newLabHost(t *testing.T) *system {
	t.Helper()
	h, err := host.New(filepath.Join(t.TempDir(), hostID), host.Spec{ID: hostID}, host.Machine{
		Tools: tools, Trusted: []string{fleet.Script()},
	})
	must(t, err)
	t.Cleanup(func() { must(t, h.Close()) })
	_, port, err := net.SplitHostPort(h.Address())
	must(t, err)
	number, err := strconv.Atoi(port)
	must(t, err)
	folder := rootfs.Root(h.Folder())
	return &system{
		id: hostID, root: h.Folder(), port: number, races: labRounds, login: h.Login,
		owner: func(path string) (uid, gid int, err error) {
			owners, err := folder.Owners()
			if err != nil {
				return 0, 0, err
			}
			uid, gid = owners.Of(folder.Path(path))
			return uid, gid, nil
		},
		chown: func(path string, uid, gid int) error { return folder.SetOwner(folder.Path(path), uid, gid) },
		start: func(ctx context.Context, script string) func() (string, error) {
			done := make(chan host.Output, 1)
			go func() { done <- h.Run(ctx, host.Script{Text: script}) }()
			return func() (string, error) {
				out := <-done
				if out.ExitCode != 0 || out.TimedOut {
					return out.Stdout, fmt.Errorf("status %d, timed out %t: %s", out.ExitCode, out.TimedOut, out.Stderr)
				}
				return out.Stdout, nil
			}
		},
	}
}
