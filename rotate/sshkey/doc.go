// Package sshkey makes and reads SSH key pairs: their types, their private
// forms, their authorized_keys lines and their fingerprints.
//
// A private key made here never shows itself: every way of printing, logging
// or encoding one yields "[redacted]", and only [PrivateKey.PEM] gives it out.
// Where keys are stored, and on which hosts they are trusted, lives elsewhere.
package sshkey
