// Command package zips one function binary as Lambda wants it: a single executable named bootstrap
// at the root. The same binary gives the same bytes: no time, owner or path of this machine goes in.
//
//	package ARCHIVE BINARY
//	package -check GOARCH ARCHIVE
//
// The second form says whether a zip is for a processor.
package main

import (
	"archive/zip"
	"bytes"
	"compress/flate"
	"crypto/sha256"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

func main() {
	var err error
	switch args := os.Args[1:]; {
	case len(args) == 3 && args[0] == "-check":
		err = check(args[2], args[1])
	case len(args) == 2:
		err = pack(args[0], args[1])
	default:
		fmt.Fprintln(os.Stderr, "usage: package ARCHIVE BINARY\n       package -check GOARCH ARCHIVE")
		os.Exit(64)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "package:", err)
		os.Exit(1)
	}
}

// machines are the processors of Lambda, as Go and as Linux binaries name them.
var machines = map[string]elf.Machine{"arm64": elf.EM_AARCH64, "amd64": elf.EM_X86_64}

// check reports whether the archive holds a Linux program for the processor.
func check(archive, goarch string) error {
	want, known := machines[goarch]
	if !known {
		return fmt.Errorf("%q is neither arm64 nor amd64", goarch)
	}
	z, err := zip.OpenReader(archive)
	if err != nil {
		return fmt.Errorf("%s: %w", archive, err)
	}
	code, err := bootstrap(&z.Reader)
	if err := errors.Join(err, z.Close()); err != nil {
		return fmt.Errorf("%s: %w", archive, err)
	}
	program, err := elf.NewFile(bytes.NewReader(code))
	if err != nil {
		return fmt.Errorf("%s: bootstrap is no Linux program: %w", archive, err)
	}
	if program.Machine != want {
		return fmt.Errorf("%s: bootstrap is for %s, not %s", archive, program.Machine, want)
	}
	return nil
}

func bootstrap(z *zip.Reader) ([]byte, error) {
	file, err := z.Open("bootstrap")
	if err != nil {
		return nil, err
	}
	code, err := io.ReadAll(file)
	return code, errors.Join(err, file.Close())
}

func pack(archive, binary string) (err error) {
	code, err := os.ReadFile(binary)
	if err != nil {
		return err
	}
	out, err := os.Create(archive)
	if err != nil {
		return err
	}
	defer func() {
		if e := out.Close(); err == nil {
			err = e
		}
	}()
	sum := sha256.New()
	z := zip.NewWriter(io.MultiWriter(out, sum))
	z.RegisterCompressor(zip.Deflate, func(w io.Writer) (io.WriteCloser, error) {
		return flate.NewWriter(w, flate.BestCompression)
	})
	// 1980 is where zip's time begins.
	header := &zip.FileHeader{Name: "bootstrap", Method: zip.Deflate, Modified: time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)}
	header.SetMode(0o755)
	entry, err := z.CreateHeader(header)
	if err != nil {
		return err
	}
	if _, err := entry.Write(code); err != nil {
		return err
	}
	if err := z.Close(); err != nil {
		return err
	}
	size, err := out.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	fmt.Printf("%s  %.1f MB  sha256 %x\n", archive, float64(size)/1e6, sum.Sum(nil))
	return nil
}
