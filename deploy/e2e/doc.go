// Package e2e holds the end-to-end tests: the real binary of the rotation function, run under the
// Lambda Runtime API by the lab, which answers as AWS does and whose hosts are real files, a real
// shell and a real SSH server. It is the only place beside the demo that knows both the product and
// the lab.
//
// What one package can show by itself is tested there. Each test here starts with a fleet and ends
// with what a person would look at: which key logs in, what stands in authorized_keys, which version
// has which label, what the function logged.
package e2e
