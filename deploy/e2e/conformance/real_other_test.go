//go:build !linux

package conformance

import "testing"

// realShells are none: private mounts are Linux's.
func realShells(*testing.T) (map[string]string, string) { return nil, "needs Linux" }

// newRealSystem is never called here.
func newRealSystem(*testing.T, string, *keyring) *system { panic("no real system") }

// What only rows for the real system are set up by.
func smallDisk(string) step { return nil }
func fill(string) step      { return nil }
func readOnly(string) step  { return nil }
func immutable(string) step { return nil }
func settle() step          { return func(*testing.T, *system, *keyring) {} }
