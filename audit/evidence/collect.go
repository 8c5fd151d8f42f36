package evidence

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

// Collect reads the evidence of secrets as Open does: the manifests of a period, and the records that no manifest
// has yet. What was before the period may be missing, but for the exceptions, of which it reads all.
func Collect(ctx context.Context, b Bucket, secrets []Secret, from, to time.Time) (Archive, error) {
	return collect(ctx, b, secrets, from, to)
}

func collect(ctx context.Context, s store, secrets []Secret, from, to time.Time) (Archive, error) {
	objects := map[string][]byte{}
	for _, secret := range append([]Secret{{}}, secrets...) {
		folder, err := folderOf(secret)
		since := from
		if secret == (Secret{}) {
			since = time.Time{}
		}
		if err == nil {
			err = gather(ctx, s, folder, since, to, objects)
		}
		if err != nil {
			return Archive{}, fmt.Errorf("collect evidence: %w", err)
		}
	}
	var names []string
	for name := range objects {
		names = append(names, name)
	}
	return read(names, func(name string) ([]byte, error) { return objects[name], nil }, false)
}

func gather(ctx context.Context, s store, folder string, from, to time.Time, into map[string][]byte) error {
	days, err := s.List(ctx, folder+daysName, "")
	if err != nil {
		return err
	}
	after := ""
	if len(days) > 0 { // the last one says where the open records begin
		last := days[len(days)-1]
		body, _, err := s.Read(ctx, last)
		if err != nil {
			return err
		}
		m, err := DecodeManifest(body)
		if err != nil {
			return fmt.Errorf("%s: %w", last, err)
		}
		into[last], after = body, folder+recordName(m.head().Sequence)
	}
	// A day is closed a little after it is over, and an event tells of what was before it.
	wanted := slices.DeleteFunc(days, func(key string) bool {
		day, err := time.Parse(time.DateOnly, strings.TrimSuffix(path.Base(key), ".json"))
		return err != nil || day.Before(from.AddDate(0, 0, -1)) || day.After(to.AddDate(0, 0, 1)) || into[key] != nil
	})
	open, err := s.List(ctx, folder+recordsName, after)
	if err != nil {
		return err
	}
	wanted = append(wanted, open...)
	bodies, err := readAll(ctx, s, wanted)
	for i, body := range bodies {
		into[wanted[i]] = body
	}
	return err
}

// Compact leaves out of the keys of evidence the records that a manifest has.
func Compact(ctx context.Context, b Bucket, keys []string) ([]string, error) {
	last := map[string]string{} // manifest, by folder
	for _, key := range keys {
		if folder, _, ok := strings.Cut(key, "/"+daysName); ok {
			last[folder] = key
		}
	}
	closed := map[string]int64{}
	for folder, key := range last {
		body, _, err := b.Read(ctx, key)
		if err != nil {
			return nil, err
		}
		m, err := DecodeManifest(body)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
		closed[folder] = m.head().Sequence
	}
	return slices.DeleteFunc(slices.Clone(keys), func(key string) bool {
		folder, _, ok := strings.Cut(key, "/"+recordsName)
		n, named := sequenceOf(key)
		return ok && named && n <= closed[folder]
	}), nil
}

// readAll reads objects, some at once.
func readAll(ctx context.Context, s store, keys []string) ([][]byte, error) {
	const atOnce = 16
	bodies := make([][]byte, len(keys))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(atOnce)
	for i, key := range keys {
		group.Go(func() (err error) {
			bodies[i], _, err = s.Read(ctx, key)
			return err
		})
	}
	return bodies, group.Wait()
}
