// Package conformance holds the lab's hosts, the host script and OpenSSH against each other: one table
// of cases, each of which says how a host is set up, what it is ordered, what it must answer and which
// state that is, which bytes its files must hold afterwards and which keys then let people in.
//
// Every row runs on a host of the lab and, on Linux as root, on real accounts with a real sshd, under
// dash, bash and busybox sh. A row knows one expectation, so that any difference between the lab and a
// real system, or between shells, fails it.
//
// On the real system each row has a mount namespace of its own, with file systems in memory over all
// that it changes and everything else read-only; nothing of it can be seen outside, and nothing is left
// behind.
//
// The table has no rows for SELinux labels and for FIPS mode: both are the kernel's, for all of a machine.
package conformance
