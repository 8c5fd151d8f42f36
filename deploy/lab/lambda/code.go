package lambda

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"debug/elf"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"syscall"
)

// maxUnpacked bounds a function's code, layers included.
// https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
const maxUnpacked = 262144000

// bootstrap is the program of a function on an OS-only runtime.
// https://docs.aws.amazon.com/lambda/latest/dg/runtimes-provided.html
const bootstrap = "bootstrap"

// unpack writes the bootstrap of an archive below the service's folder and
// returns its path. Nothing else of the archive is looked at, so that none of
// its names becomes a path.
func (s *Service) unpack(function string, archive []byte) (program string, err error) {
	z, err := zip.NewReader(bytes.NewReader(archive), int64(len(archive)))
	if err != nil {
		return "", invalidParameter("Could not unzip uploaded file. Please check your file, then try to upload again.")
	}
	i := slices.IndexFunc(z.File, func(f *zip.File) bool { return f.Name == bootstrap })
	if i < 0 {
		return "", invalidParameter("The lab runs a function's bootstrap, and the archive has none at its root.")
	}
	if z.File[i].UncompressedSize64 > maxUnpacked {
		return "", invalidParameter(fmt.Sprintf("Unzipped size must be smaller than %d bytes", maxUnpacked))
	}
	b, err := content(z.File[i])
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(archive)
	program = filepath.Join(s.options.Dir, "functions", function, hex.EncodeToString(sum[:8]), bootstrap)
	return program, writeProgram(program, b)
}

func content(f *zip.File) ([]byte, error) {
	r, err := f.Open()
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.LimitReader(r, maxUnpacked))
	return b, errors.Join(err, r.Close())
}

// writeProgram writes an executable. No process is started meanwhile: a child
// between fork and exec would have the file open for writing, and it could not
// be executed.
func writeProgram(path string, b []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	syscall.ForkLock.RLock()
	err := os.WriteFile(path+".new", b, 0o700)
	syscall.ForkLock.RUnlock()
	if err != nil {
		return err
	}
	return os.Rename(path+".new", path) // a program that runs can be replaced, not written to
}

// architectures are Go's names of Lambda's.
var architectures = map[string]string{"x86_64": "amd64", "arm64": "arm64"}

// machineArchitecture is Lambda's name for this machine.
func machineArchitecture() string {
	if runtime.GOARCH == "arm64" {
		return "arm64"
	}
	return "x86_64"
}

// checkArchitecture returns the error of a program that the function's
// architecture cannot execute, as the kernel there would. Programs that are no
// ELF files are for the kernel of this machine to judge.
func (f Function) checkArchitecture() error {
	if f.Architecture == "" {
		return nil
	}
	wrong := &fs.PathError{Op: "fork/exec", Path: "/var/task/bootstrap", Err: syscall.ENOEXEC}
	if f.Architecture != machineArchitecture() {
		return wrong
	}
	program, err := elf.Open(f.Command[0])
	if err != nil {
		return nil
	}
	defer func() { _ = program.Close() }()
	if want := map[string]elf.Machine{"x86_64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}[f.Architecture]; program.Machine != want {
		return wrong
	}
	return nil
}
