// Package operator tests the command keytrail as people type it: the program itself before a lab in which the
// whole template is deployed and every call is judged. What it says is compared with what stands on the hosts.
package operator
