// Package rotate is the Secrets Manager rotation function for SSH key pairs: the four steps
// createSecret, setSecret, testSecret and finishSecret; the actions reconcile, adopt and revoke, through
// the alias reconcile; what they are configured with; and the one file that talks to Secrets Manager.
//
// What a key pair is stands in rotate/sshkey, which keys are trusted in rotate/trust, what is kept of
// them in rotate/register, how hosts are reached and judged in rotate/fleet, and how a login is proven
// in rotate/login. Nothing here writes a private key anywhere but into the
// secret itself.
package rotate
