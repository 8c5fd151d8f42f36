// Package alert tells people what is wrong with a secret, once: it keeps the life of each alert in S3, says
// in words what happened and what to do, and publishes to SNS. It decides nothing about hosts or events;
// it is told by Sightings.
package alert
