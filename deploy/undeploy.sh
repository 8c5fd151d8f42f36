#!/bin/sh
# Deletes the stack that deploy.sh made, after asking. The bucket of the register, a first secret and a KMS key of
# the stack stay: hosts trust that key, and the register is the evidence of what they trusted. Nobody watches the hosts
# any more. Variables: STACK, REGION and YES, as for deploy.sh.
set -eu
LC_ALL=C
export LC_ALL AWS_PAGER=''
cd "$(dirname "$0")/.."
. deploy/common.sh

STACK=${STACK:-keytrail}

need_aws
check_account
status=$(stack_status)
case $status in
  none) fail "there is no stack $STACK in $REGION of account $account" "set STACK and REGION to those that you deployed" ;;
  *_IN_PROGRESS) fail "the stack $STACK is in state $status" "wait until that is over, and try again" ;;
esac
look_at_stack
bucket=$(output Bucket) secret=$(output Secret) key=$(output Key)

say "This deletes the stack $STACK in $REGION of account $account: functions, roles, documents and alarms."
say "Secrets that it rotates keep their keys, and are no longer rotated."
[ -z "$(output EventsFunction)" ] || say "Its rules, queues and topics go as well: nobody is told any more when hosts drift."
say "These stay:"
[ -z "$bucket" ] || say "  bucket  $bucket, with the register"
[ -z "$secret" ] || say "  secret  $secret"
[ -z "$key" ] || say "  key     $key, which encrypts secrets"
confirm "Delete the stack?" || {
  say "Nothing was deleted."
  exit 1
}
say "Deleting; this takes a few minutes."
aws cloudformation delete-stack --stack-name "$STACK"
aws cloudformation wait stack-delete-complete --stack-name "$STACK" ||
  fail "the stack $STACK was not deleted" "aws cloudformation describe-stack-events --region $REGION --stack-name $STACK"
say "Deleted."
[ -z "$bucket" ] || say "The bucket $bucket stays. To use its register again: make deploy PARAMETERS=ExistingBucket=$bucket"
