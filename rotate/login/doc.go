// Package login proves that hosts accept a key: it logs in over SSH, as far as
// the server's word that authentication succeeded, and opens no session, since
// a forced command and an account without a shell are legitimate.
//
// Which hosts, users and host keys there are is the caller's to know.
package login
