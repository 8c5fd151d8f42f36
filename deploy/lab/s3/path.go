package s3

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// maxComponent is the longest part of a key that stands as it is in a folder's
// name. File systems take 255 bytes.
const maxComponent = 200

// path returns the file of a version's bytes.
func (s *store) path(b *bucket, v *version) string {
	parts := []string{s.dir, b.Name}
	for component := range strings.SplitSeq(v.Key, "/") {
		parts = append(parts, folderName(component))
	}
	return filepath.Join(append(parts, "@"+strconv.FormatInt(v.Sequence, 10))...)
}

// folderName returns a name for a part of a key that is a safe one in any file
// system and never one of the store's own, which begin with an @. Nobody reads
// a key back from it.
func folderName(component string) string {
	name := url.PathEscape(component)
	switch {
	case name == "":
		return "%"
	case name[0] == '@' || name[0] == '.':
		name = fmt.Sprintf("%%%02X", name[0]) + name[1:]
	}
	if len(name) > maxComponent {
		sum := sha256.Sum256([]byte(component))
		name = name[:maxComponent-33] + "%" + hex.EncodeToString(sum[:16])
	}
	return name
}

func readJSON(path string, v any) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	return nil
}

// writeJSON replaces a file as a whole.
func writeJSON(path string, v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(path+".new", append(b, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}
