// Command release completes a folder of function zips: the template for whoever deploys without a
// checkout, a bill of materials, and the checksums of all files. The same inputs give the same bytes.
//
//	release FOLDER TEMPLATE BINARY...
package main

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

func main() {
	if len(os.Args) < 4 {
		fmt.Fprintln(os.Stderr, "usage: release FOLDER TEMPLATE BINARY...")
		os.Exit(64)
	}
	if err := release(os.Args[1], os.Args[2], os.Args[3:]); err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

func release(folder, template string, binaries []string) error {
	text, err := os.ReadFile(template)
	if err != nil {
		return err
	}
	standing, err := standAlone(string(text))
	if err != nil {
		return fmt.Errorf("%s: %w", template, err)
	}
	if err := os.WriteFile(filepath.Join(folder, "template.yaml"), []byte(standing), 0o644); err != nil {
		return err
	}
	materials, err := billOfMaterials(binaries)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(folder, "keytrail.cdx.json"), materials, 0o644); err != nil {
		return err
	}
	return writeSums(folder)
}

const sumsName = "SHA256SUMS"

// writeSums lists every other file of the folder, by name, as sha256sum -c reads it.
func writeSums(folder string) error {
	entries, err := os.ReadDir(folder) // sorted by name
	if err != nil {
		return err
	}
	var sums strings.Builder
	for _, e := range entries {
		if e.Name() == sumsName {
			continue
		}
		content, err := os.ReadFile(filepath.Join(folder, e.Name()))
		if err != nil {
			return err
		}
		fmt.Fprintf(&sums, "%x  %s\n", sha256.Sum256(content), e.Name())
	}
	fmt.Print(sums.String())
	return os.WriteFile(filepath.Join(folder, sumsName), []byte(sums.String()), 0o644)
}
