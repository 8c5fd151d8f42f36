// Package events consumes what EventBridge delivers about secrets: CloudTrail's records of rotations and
// API calls, Secrets Manager's own events, and the schedule. Decode turns each delivery into one Event and
// judges nothing; who may do what, and what is done about it, is decided by whoever reads Events. How
// people are told lives in events/alert.
package events
